(function () {
  "use strict";
  const specs = JSON.parse(document.getElementById("chart-specs").textContent);
  const themes = JSON.parse(document.getElementById("chart-themes").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const actions = { export: true, source: false, compiled: false, editor: false };

  function draw(place) {
    const theme = dark.matches ? "dark" : "light";
    if (place.dataset.drawn === theme || !specs[place.id]) return;
    place.dataset.drawn = theme;
    const options = { renderer: "svg", actions: actions, config: themes[theme], downloadFileName: place.id };
    vegaEmbed(place, specs[place.id], options).catch(function (error) {
      place.textContent = "This chart cannot be drawn: " + error.message;
      console.error(error);
    });
  }

  // Only what can be seen is drawn: a report with many workloads opens at once.
  function drawVisible() {
    document.querySelectorAll(".chart").forEach(function (place) {
      if (place.offsetParent !== null) draw(place);
    });
  }

  document.querySelectorAll("details").forEach(function (part) { part.addEventListener("toggle", drawVisible); });
  dark.addEventListener("change", drawVisible);
  window.addEventListener("beforeprint", drawVisible);
  drawVisible();
})();
