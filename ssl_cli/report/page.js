// Shows the image behind the point nearest to the pointer or finger. Without it the page is whole, only still.
(() => {
  const holder = document.getElementById("points");
  if (!holder) return;
  const { side, columns, rows, images, maps } = JSON.parse(holder.textContent);
  const tip = document.createElement("div"), thumb = document.createElement("span"), text = document.createElement("span");
  tip.id = "tip";
  thumb.className = "thumb";
  tip.append(thumb, text);
  thumb.style.backgroundSize = `${columns * 64}px ${rows * 64}px`;
  const hide = () => { tip.style.display = "none"; };

  for (const [name, points] of Object.entries(maps)) {
    const figure = document.getElementById(name), svg = figure.querySelector("svg"), box = svg.viewBox.baseVal;
    const show = (event) => {
      const seen = svg.getBoundingClientRect(), scale = seen.width / box.width;
      const x = (event.clientX - seen.left) / scale, y = (event.clientY - seen.top) / scale;
      let nearest = -1, least = (24 / scale) ** 2;
      points.forEach(([px, py], i) => {
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < least) { least = distance; nearest = i; }
      });
      if (nearest < 0) { hide(); return; }
      thumb.style.backgroundPosition = `${-64 * (nearest % columns)}px ${-64 * Math.floor(nearest / columns)}px`;
      text.textContent = images[nearest];
      figure.append(tip);
      tip.style.display = "block";
      const frame = figure.getBoundingClientRect();
      const left = seen.left - frame.left + points[nearest][0] * scale, top = seen.top - frame.top + points[nearest][1] * scale;
      tip.style.left = `${Math.max(0, Math.min(frame.width - tip.offsetWidth, left - tip.offsetWidth / 2))}px`;
      tip.style.top = `${top > tip.offsetHeight + 12 ? top - tip.offsetHeight - 12 : top + 12}px`;
    };
    svg.addEventListener("pointermove", show);
    svg.addEventListener("pointerdown", show);
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
  }
})();
