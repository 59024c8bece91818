"""Process equations shared by the models: pure functions of tensors."""
