"""The border: weather, parameters, soils, management, observations and experiments enter here, checked once."""
