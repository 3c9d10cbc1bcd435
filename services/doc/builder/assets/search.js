// Search in the browser: words from ~search/, best sections first. Nothing leaves this site.
(() => {
  "use strict";
  const box = document.querySelector(".search");
  const input = document.getElementById("am:query");
  const panel = document.getElementById("am:results");
  const status = document.getElementById("am:status");
  if (!box || !input || !panel || !status) return;
  box.hidden = false;

  const root = document.body.dataset.root || "./";
  const MOST = 12;
  const loaded = new Map();
  let last = 0;
  let chosen = -1;

  const load = (name) => {
    if (!loaded.has(name)) {
      const coming = fetch(`${root}~search/${name}`, { credentials: "same-origin" }).then((answer) => {
        if (!answer.ok) throw new Error(String(answer.status));
        return answer.json();
      });
      coming.catch(() => loaded.delete(name));
      loaded.set(name, coming);
    }
    return loaded.get(name);
  };

  const words = (text) =>
    (text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || []).slice(0, 12).map((word) => word.slice(0, 40));

  // The files that hold a word and, from three letters on, those that begin with it.
  const filesOf = (index, word) => {
    const names = [];
    for (let at = 0; at < index.terms.length; at += 1) {
      const [first, name] = index.terms[at];
      const next = at + 1 < index.terms.length ? index.terms[at + 1][0] : null;
      if (first > word && !first.startsWith(word)) break;
      if (next === null || next > word) names.push(name);
      if (names.length === 4) break;
    }
    return names;
  };

  const collect = async (index, word) => {
    const found = new Map();
    for (const rows of await Promise.all(filesOf(index, word).map(load))) {
      for (const term of Object.keys(rows)) {
        const exact = term === word;
        if (!exact && (word.length < 2 || !term.startsWith(word))) continue;
        const postings = rows[term];
        const rare = Math.log(1 + index.sections / (postings.length / 2));
        const factor = rare * (exact ? 1 : 0.4 + 0.4 * (word.length / term.length));
        let section = 0;
        for (let at = 0; at < postings.length; at += 2) {
          section += postings[at];
          const score = postings[at + 1] * factor;
          if (score > (found.get(section) || 0)) found.set(section, score);
        }
      }
    }
    return found;
  };

  const ranked = async (query) => {
    const index = await load("index.json");
    const asked = [...new Set(words(query))];
    const scores = new Map();
    for (const found of await Promise.all(asked.map((word) => collect(index, word)))) {
      for (const [section, score] of found) {
        const before = scores.get(section) || [0, 0];
        scores.set(section, [before[0] + score, before[1] + 1]);
      }
    }
    const order = [...scores].map(([section, [score, hits]]) => [section, score * (hits / asked.length) ** 2]);
    order.sort((one, other) => other[1] - one[1] || one[0] - other[0]);
    const results = [];
    const pages = new Map();
    for (const [section] of order.slice(0, MOST * 4)) {
      const chunk = await load(index.chunks[Math.floor(section / index.perChunk)]);
      const [page, heading, anchor, excerpt] = chunk[section % index.perChunk];
      pages.set(page, (pages.get(page) || 0) + 1);
      if (pages.get(page) > 3) continue;
      const [file, title] = index.pages[page];
      results.push({ file, title, heading, anchor, excerpt });
      if (results.length === MOST) break;
    }
    return { asked, results };
  };

  // A release that readers were switched to meanwhile has other files.
  const search = (query) =>
    ranked(query).catch(() => {
      loaded.clear();
      return ranked(query);
    });

  const marked = (element, text, asked) => {
    const pattern = asked.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
    let end = 0;
    if (pattern) {
      for (const match of text.matchAll(new RegExp(pattern, "giu"))) {
        element.append(text.slice(end, match.index));
        const mark = document.createElement("mark");
        mark.textContent = match[0];
        element.append(mark);
        end = match.index + match[0].length;
      }
    }
    element.append(text.slice(end));
    return element;
  };

  // The words around the first that was asked for.
  const around = (text, asked) => {
    const lower = text.toLowerCase();
    const places = asked.map((word) => lower.indexOf(word)).filter((at) => at >= 0);
    const start = places.length ? Math.max(0, Math.min(...places) - 40) : 0;
    const from = start ? text.indexOf(" ", start) + 1 : 0;
    return (from ? "… " : "") + text.slice(from, from + 170);
  };

  const addressOf = ({ file, anchor }) =>
    root +
    file.split("/").map(encodeURIComponent).join("/").replace(/(^|\/)index\.html$/, "$1") +
    (anchor ? `#${encodeURIComponent(anchor)}` : "");

  const show = ({ asked, results }) => {
    panel.replaceChildren();
    results.forEach((result, number) => {
      const link = document.createElement("a");
      link.href = addressOf(result);
      link.id = `am:result-${number}`;
      link.setAttribute("role", "option");
      link.tabIndex = -1;
      const title = marked(document.createElement("strong"), result.title, asked);
      link.append(title);
      if (result.heading) {
        link.append(marked(Object.assign(document.createElement("span"), { className: "at" }), result.heading, asked));
      }
      link.append(marked(Object.assign(document.createElement("small"), {}), around(result.excerpt, asked), asked));
      panel.append(link);
    });
    status.textContent = results.length ? `${results.length} results` : "Nothing found";
    if (!results.length) {
      const nothing = document.createElement("p");
      nothing.textContent = "Nothing found. Try fewer or other words.";
      panel.append(nothing);
    }
    open(true);
    choose(-1);
  };

  const open = (wanted) => {
    panel.hidden = !wanted;
    input.setAttribute("aria-expanded", String(wanted));
  };

  const choose = (number) => {
    const options = panel.querySelectorAll("[role=option]");
    chosen = options.length ? Math.max(-1, Math.min(number, options.length - 1)) : -1;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    if (chosen >= 0) {
      input.setAttribute("aria-activedescendant", options[chosen].id);
      options[chosen].scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  };

  const ask = async () => {
    const mine = (last += 1);
    const query = input.value.trim();
    if (!query) {
      open(false);
      status.textContent = "";
      return;
    }
    try {
      const answer = await search(query);
      if (mine === last) show(answer);
    } catch {
      if (mine === last) status.textContent = "Search cannot be reached at the moment";
    }
  };

  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 60);
  });
  input.addEventListener("focus", () => {
    load("index.json").catch(() => undefined);
    if (input.value.trim()) ask();
  });
  input.addEventListener("keydown", (event) => {
    const options = panel.querySelectorAll("[role=option]");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && options.length) {
      event.preventDefault();
      options[Math.max(0, chosen)].click();
    } else if (event.key === "Escape") {
      if (panel.hidden) input.value = "";
      open(false);
    }
  });
  panel.addEventListener("click", () => open(false));
  document.addEventListener("click", (event) => {
    if (!box.contains(event.target)) open(false);
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName || "");
    const asked = event.key === "/" || (event.key === "k" && (event.metaKey || event.ctrlKey));
    if (asked && !typing && !event.altKey) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });
})();
