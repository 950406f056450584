(async () => {
  const charts = [...document.querySelectorAll(".chart")];
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), one => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function draw(chart) {
    const figure = JSON.parse(chart.parentElement.querySelector("script").textContent);
    const color = getComputedStyle(document.body).color;
    const axis = {gridcolor: "#8884", zerolinecolor: "#8888"};
    const layout = {paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: {color: color, size: 13},
      margin: {l: 56, r: 12, t: 12, b: 48}, legend: {orientation: "h", y: -0.25}, hovermode: "closest",
      ...figure.layout};
    for (const name of ["xaxis", "yaxis"]) layout[name] = {...axis, automargin: true, ...layout[name]};
    Plotly.react(chart, figure.data, layout, {displayModeBar: false, responsive: true});
    chart.dataset.drawn = "1";
  }
  const seen = new IntersectionObserver(entries => entries.filter(one => one.isIntersecting).forEach(one => {
    seen.unobserve(one.target);
    draw(one.target);
  }), {rootMargin: "300px"});
  charts.forEach(chart => seen.observe(chart));
  dark.addEventListener("change", () => charts.filter(chart => chart.dataset.drawn).forEach(draw));
  addEventListener("beforeprint", () => charts.filter(chart => !chart.dataset.drawn).forEach(draw));
})();
