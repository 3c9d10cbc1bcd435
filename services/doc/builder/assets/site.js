// The menu, the theme, copying of code, and which heading is being read. Every page works without it.
(() => {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  const theme = document.querySelector("button.theme");
  if (theme) {
    theme.hidden = false;
    theme.addEventListener("click", () => {
      const dark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : window.matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try {
        localStorage.setItem("theme", root.dataset.theme);
      } catch {
        // It lasts until the page is left.
      }
    });
  }

  const menu = document.querySelector("button.menu");
  const tree = byId("am:nav");
  if (menu && tree) {
    menu.hidden = false;
    root.classList.add("scripted");
    const show = (open) => {
      menu.setAttribute("aria-expanded", String(open));
      tree.classList.toggle("open", open);
    };
    menu.addEventListener("click", () => show(menu.getAttribute("aria-expanded") !== "true"));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && tree.classList.contains("open")) {
        show(false);
        menu.focus();
      }
    });
    tree.addEventListener("click", (event) => {
      if (event.target instanceof HTMLAnchorElement) show(false);
    });
    const here = tree.querySelector("[aria-current]");
    if (here && here.offsetTop > tree.clientHeight - 80) tree.scrollTop = here.offsetTop - tree.clientHeight / 2;
  }

  if (navigator.clipboard) {
    for (const block of document.querySelectorAll("article pre")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        const code = block.querySelector("code") || block;
        try {
          await navigator.clipboard.writeText(code.textContent);
          button.textContent = "Copied";
        } catch {
          button.textContent = "Not allowed";
        }
        setTimeout(() => (button.textContent = "Copy"), 1500);
      });
      const frame = document.createElement("div");
      frame.className = "code";
      block.replaceWith(frame);
      frame.append(block, button);
      block.tabIndex = 0;
    }
  }

  const links = new Map();
  for (const link of document.querySelectorAll("nav.contents a")) {
    const heading = byId(decodeURIComponent(link.hash.slice(1)));
    if (heading) links.set(heading, link);
  }
  if (links.size) {
    const headings = [...links.keys()];
    const mark = () => {
      let reading = headings[0];
      for (const heading of headings) {
        if (heading.getBoundingClientRect().top > 120) break;
        reading = heading;
      }
      for (const [heading, link] of links) link.classList.toggle("reading", heading === reading);
    };
    let waiting = false;
    addEventListener(
      "scroll",
      () => {
        if (waiting) return;
        waiting = true;
        requestAnimationFrame(() => {
          waiting = false;
          mark();
        });
      },
      { passive: true },
    );
    mark();
  }
})();
