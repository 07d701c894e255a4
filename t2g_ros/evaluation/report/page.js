// Draws the charts in the page's own ink, again when that changes, and lets legends show and hide what they name.
(() => {
  "use strict";
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];
  const hidden = new Map(plots.map((plot) => [plot, new Map()])); // plot -> group -> hidden by the reader?

  function theme() {
    const style = getComputedStyle(root);
    const ink = (name) => style.getPropertyValue(name).trim();
    const size = Math.max(14, Math.round(0.85 * parseFloat(style.fontSize)));
    const font = { family: getComputedStyle(document.body).fontFamily, size, color: ink("--ink") };
    const axis = {
      gridcolor: ink("--rule"),
      linecolor: ink("--muted"),
      automargin: true,
      zeroline: false,
      title: { font, standoff: 8 },
    };
    return {
      size,
      template: {
        layout: {
          font,
          paper_bgcolor: "rgba(0,0,0,0)",
          plot_bgcolor: "rgba(0,0,0,0)",
          margin: { l: 8, r: 28, t: 16, b: 8 },
          hoverlabel: { bgcolor: ink("--paper"), bordercolor: ink("--muted"), font, namelength: -1 },
          dragmode: false,
          xaxis: { ...axis, showgrid: false, showline: true },
          yaxis: axis,
        },
      },
    };
  }

  function draw(plot) {
    const { size, template } = theme();
    const { data, layout } = JSON.parse(plot.nextElementSibling.textContent);
    for (const trace of data) {
      const choice = hidden.get(plot).get(trace.legendgroup);
      if (choice !== undefined) trace.visible = !choice;
    }
    // A finger on a chart scrolls the page; a mouse may choose a part of the drive.
    const touch = matchMedia("(pointer: coarse)").matches;
    const fixed = touch || layout.dragmode !== "zoom";
    const axes = Object.fromEntries(
      ["xaxis", "yaxis"].map((name) => [name, { ...layout[name], fixedrange: fixed || name === "yaxis" }]),
    );
    const dragmode = fixed ? false : layout.dragmode;
    // Heights are meant for type of 14 px.
    const height = Math.round((layout.height * size) / 14);
    plot.style.minHeight = `${height}px`;
    const width = plot.clientWidth;
    Plotly.react(plot, data, { ...layout, ...axes, dragmode, width, height, template }, { displayModeBar: false });
    plot.dataset.drawn = `${width} ${size}`;
  }

  const drawn = () => plots.filter((plot) => "drawn" in plot.dataset);

  // Long before they are scrolled to, but not all at once: a phone shows the headline first.
  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        near.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "1500px" },
  );
  for (const plot of plots) near.observe(plot);

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn().forEach(draw));
  // Plotly's own resizing waits a while, which paper does not; and the height of a phone's window changes as it scrolls.
  addEventListener("resize", () => {
    const { size } = theme();
    drawn().filter((plot) => plot.dataset.drawn !== `${plot.clientWidth} ${size}`).forEach(draw);
  });

  // Paper is white and narrow, whatever the screen is.
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    plots.forEach(draw);
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    drawn().forEach(draw);
  });

  for (const button of document.querySelectorAll(".pictures button")) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    });
  }

  for (const button of document.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const hide = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!hide));
      for (const plot of button.closest(".linked").querySelectorAll(".plot")) {
        hidden.get(plot).set(button.dataset.group, hide);
        if ("drawn" in plot.dataset) draw(plot);
      }
    });
  }
})();
