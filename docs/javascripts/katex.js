// Material replaces the page without reloading it, so equations are set again after each change of page.
document$.subscribe(({ body }) => {
  if (typeof renderMathInElement !== "function") return; // offline: the TeX source stays
  renderMathInElement(body, {
    delimiters: [
      { left: "\\[", right: "\\]", display: true },
      { left: "\\(", right: "\\)", display: false },
    ],
  });
});
