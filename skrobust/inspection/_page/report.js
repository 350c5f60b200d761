// The review page: everything from the data is put in by textContent or by properties.
"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const D = read("data"), I = read("images");
  const R = D.rows, CLASSES = D.classes, LISTED = D.counts.listed, KIND = D.content.kind;
  const $ = (id) => document.getElementById(id);
  const UNCLEAR = -1, ROW_HEIGHT = 48, STORE = "skrobust:" + D.fingerprint;
  const COLUMNS = "fingerprint n_rows row row_id given_label decision new_label source sampled_from reviewer time note".split(" ");
  // ---- elements -------------------------------------------------------------------------------
  function el(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== false));
    return node;
  }
  const word = (text) => el("bdi", { class: "word", title: text.length > 30 ? text.slice(0, 300) : null }, short(text, 200));
  const name = (k) => (k < 0 ? "none" : CLASSES[k]);
  const short = (text, n = 40) => (text.length > n ? text.slice(0, n - 1) + "…" : text);
  const percent = (share) => (100 * share).toFixed(1) + " %";
  const rowNumber = (place) => (D.row_names ? D.row_names.names[place] : String(R.row[place]));
  const rowName = (place) => `${R.id ? `id ${short(R.id[place])}, ` : ""}${D.row_names ? D.row_names.kind : "row"} ${rowNumber(place)}`;
  // ---- pictures -------------------------------------------------------------------------------
  const urls = new Map();
  const missing = new Set(I ? I.missing : []);
  function blobUrl(key, content) {
    if (!urls.has(key)) {
      const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
      urls.set(key, URL.createObjectURL(new Blob([bytes], { type: "image/webp" })));
    }
    return urls.get(key);
  }
  function tile(place, size) {
    if (!I) return null;
    if (missing.has(place)) return el("div", { class: "sub" }, "no image");
    const scale = size / Math.max(I.width, I.height), sheet = Math.floor(place / I.per_sheet);
    const at = place % I.per_sheet, column = at % I.columns, line = Math.floor(at / I.columns);
    const node = el("div", { class: scale > 1.5 ? "tile small" : "tile", role: "img",
      "aria-label": `Image of ${rowName(place)}` });
    node.style.width = I.width * scale + "px";
    node.style.height = I.height * scale + "px";
    node.style.backgroundImage = `url(${blobUrl(sheet, I.sheets[sheet])})`;
    node.style.backgroundSize = I.columns * I.width * scale + "px auto";
    node.style.backgroundPosition = `${-column * I.width * scale}px ${-line * I.height * scale}px`;
    return node;
  }
  // ---- decisions, undo and redo, storage ------------------------------------------------------
  const decisions = new Map(), notes = new Map();
  let log = [], at = 0, saved = true, storageWorks = true, storeTimer = 0, reviewer = "";

  function set(place, value) {
    if (value && place !== undefined) decisions.set(place, value); // undefined: not listed here
    else decisions.delete(place);
  }
  function store() {
    try {
      localStorage.setItem(STORE, JSON.stringify({ version: 1, log, at, reviewer, saved }));
      storageWorks = true;
    } catch { storageWorks = false; }
    showState();
  }
  function restore() {
    try {
      localStorage.setItem("skrobust:test", "1");
      localStorage.removeItem("skrobust:test");
      const kept = JSON.parse(localStorage.getItem(STORE) || "null");
      if (!kept || kept.version !== 1) return;
      ({ log, at, reviewer, saved } = kept);
      for (const action of log.slice(0, at)) for (const [row, , after] of action) set(PLACE.get(row), after);
    } catch { storageWorks = false; }
  }
  function showState() {
    const where = saved ? "saved to corrections.csv" : "not saved to a file yet";
    $("state").textContent = decisions.size ? `Decisions: ${decisions.size}, ${where}.` : "";
    $("banner").hidden = storageWorks;
    $("banner").textContent = "This browser does not keep decisions for this page. Save them to a file before you leave, and load that file to continue.";
  }
  // An action is a list of [row, before, after]; rows, since places depend on what is listed.
  function act(changes) {
    log.length = at;
    log.push(changes.map(([place, value]) => [R.row[place], decisions.get(place) || null, value]));
    at += 1;
    for (const [place, value] of changes) set(place, value);
    changed();
  }
  function changed() {
    saved = false;
    store();
    renderProgress();
  }
  function move(step) {
    if (step < 0 ? at === 0 : at === log.length) return announce(step < 0 ? "Nothing to undo." : "Nothing to redo.");
    const action = log[step < 0 ? at - 1 : at], place = PLACE.get(action[0][0]);
    at += step;
    for (const [row, before, after] of action) set(PLACE.get(row), step < 0 ? before : after);
    changed();
    if (view.indexOf(place) < 0) computeView();
    select(Math.max(view.indexOf(place), 0));
    announce(`${step < 0 ? "Undone" : "Redone"}: ${rowName(place)} is ${described(place)}.`);
  }
  function described(place) {
    const made = decisions.get(place);
    if (!made) return "not reviewed";
    return made.label === UNCLEAR ? "unclear"
      : made.label === R.given[place] ? "right" : `wrong, the label is ${short(name(made.label))}`;
  }
  // ---- what is shown --------------------------------------------------------------------------
  const PLACE = new Map(R.row.slice(0, LISTED).map((row, place) => [row, place]));
  let view = [], waiting = [], drawn = -1, current = 0, together = false;
  const filter = { show: "queue", given: -2, suggested: -2, text: "", order: "suspicion" };

  function searched(place) {
    if (!filter.text) return true;
    const parts = [rowNumber(place), R.id ? R.id[place] : "", name(R.given[place]), name(R.suggested[place])];
    if (KIND === "text") parts.push(D.content.text[place]);
    if (KIND === "fields") for (const cell of D.content.cells[place]) parts.push(cell[1]);
    return parts.some((part) => part.toLowerCase().includes(filter.text));
  }
  function queue() {
    const flagged = [], random = [];
    for (let place = 0; place < LISTED; place++) {
      if (R.flagged[place]) flagged.push(place);
      else if (R.audit[place] && $("mix").checked) random.push(place);
    }
    if (!random.length) return flagged;
    // Spread over the flagged rows, the same way each time.
    const key = new Map(flagged.map((place, k) => [place, k]));
    random.forEach((place) => key.set(place, ((place * 2654435761) % 4294967296) / 4294967296 * (flagged.length + 1) - 0.5));
    return [...flagged, ...random].sort((a, b) => key.get(a) - key.get(b));
  }
  function computeView() {
    waiting = queue();
    const all = filter.show === "queue" ? waiting : Array.from({ length: LISTED }, (_, place) => place);
    view = all.filter((place) =>
      (filter.show !== "flagged" || R.flagged[place])
      && (filter.show !== "open" || !decisions.has(place))
      && (filter.show !== "decided" || decisions.has(place))
      && (filter.given === -2 || R.given[place] === filter.given)
      && (filter.suggested === -2 || R.suggested[place] === filter.suggested)
      && searched(place));
    if (filter.order === "row") view.sort((a, b) => R.row[a] - R.row[b]);
    if (filter.order === "given") view.sort((a, b) => R.given[a] - R.given[b] || a - b);
    $("pad").style.height = view.length * ROW_HEIGHT + "px";
    $("clear").hidden = filter.given === -2 && filter.suggested === -2 && filter.text === "";
  }
  function refresh(keep) {
    const place = keep === undefined ? view[current] : keep;
    computeView();
    renderProgress();
    renderMap();
    select(Math.max(view.indexOf(place), 0));
  }
  function select(position, from) {
    current = Math.max(0, Math.min(position, view.length - 1));
    together = false;
    // The rows before and after it are in sight as well.
    const list = $("list"), top = (current - 1) * ROW_HEIGHT, bottom = (current + 3) * ROW_HEIGHT;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
    renderList();
    renderCard();
    if (from) announce(`${from} ${spoken()}`);
  }
  function spoken() {
    const place = view[current];
    return view.length ? `${rowName(place)}: given ${short(name(R.given[place]))}, suggested ${short(name(R.suggested[place]))}.` : "No row is shown.";
  }
  function next() {
    const later = (place, position) => position > current && !decisions.has(place);
    const found = [view.findIndex(later), view.findIndex((place) => !decisions.has(place))];
    return found.find((position) => position >= 0) ?? Math.min(current + 1, view.length - 1);
  }
  function announce(text) { $("live").textContent = text; }
  // ---- the list: only the rows in sight are in the page ---------------------------------------
  function mark(place) {
    const made = decisions.get(place);
    if (!made) return el("span", { class: "mark" }, R.verified[place] >= 0 ? "verified earlier" : "");
    if (made.label === UNCLEAR) return el("span", { class: "mark" }, "? unclear");
    const right = made.label === R.given[place];
    return el("span", { class: right ? "mark right" : "mark wrong" }, right ? "✓ right" : `✗ is ${short(name(made.label), 20)}`);
  }
  function renderList() {
    drawn = $("list").scrollTop;
    const list = $("list"), first = Math.max(Math.floor(list.scrollTop / ROW_HEIGHT) - 3, 0);
    const last = Math.min(first + Math.ceil(list.clientHeight / ROW_HEIGHT) + 7, view.length);
    const rows = [];
    for (let position = first; position < last; position++) {
      const place = view[position], other = R.suggested[place];
      const labels = el("span", { class: "labels" }, el("bdi", {}, short(name(R.given[place]), 24)));
      if (other >= 0 && other !== R.given[place]) labels.append(" → ", el("bdi", {}, short(name(other), 24)), "?");
      const row = el("div", { class: "row", role: "option", id: "row-" + position,
        "aria-selected": String(position === current), "aria-posinset": position + 1,
        "aria-setsize": view.length, onclick: () => select(position) },
        tile(place, 40), el("span", { class: "num" }, R.id ? R.id[place] : rowNumber(place)), labels, mark(place));
      row.style.top = position * ROW_HEIGHT + "px";
      rows.push(row);
    }
    $("pad").replaceChildren(...rows);
    if (current >= first && current < last && view.length) list.setAttribute("aria-activedescendant", "row-" + current);
    else list.removeAttribute("aria-activedescendant");
  }
  // ---- the card of one row --------------------------------------------------------------------
  function renderCard() {
    const card = $("card");
    if (!view.length) return card.replaceChildren(el("p", {}, D.counts.flagged || filter.show !== "queue" ? "No row fits the filters."
      : "No label is flagged. Tick “mix in random rows” to check a random sample."));
    const place = view[current], given = R.given[place], other = suggestion(place);
    const quality = R.quality[place];
    const head = el("h3", {}, rowName(place), el("span", { class: "sub" }, `  ${current + 1} of ${view.length}`));
    const names = el("dl", { class: "names" },
      el("dt", {}, "Given label"), el("dd", {}, word(name(given))),
      el("dt", {}, "Suggested"), el("dd", {}, other >= 0 ? word(name(other)) : "no other label"),
      el("dt", {}, "Label quality"), el("dd", { class: "light" }, quality === null ? "unknown" : quality.toFixed(3)),
      why(place), decision(place));
    card.replaceChildren(head, el("div", { class: "look" }, picture(place), names), contentOf(place) || "",
      near(place) || "", actions(place, given, other));
  }
  const hasOthers = (place) => CLASSES.length > (suggestion(place) >= 0 ? 2 : 1); // besides given and suggested
  const suggestion = (place) => (R.suggested[place] !== R.given[place] ? R.suggested[place] : -1);
  function picture(place) {
    if (!I) return null;
    if (I.large[place]) return el("img", { src: blobUrl("large" + place, I.large[place]), alt: `Image of ${rowName(place)}` });
    return tile(place, Math.max(I.width, I.height) > 60 ? Math.max(I.width, I.height) * 2 : 196);
  }
  function why(place) {
    const found = [];
    if (D.votes) {
      const total = D.votes[place].reduce((sum, [, n]) => sum + n, 0);
      const votes = D.votes[place].map(([k, n], j) => `${short(name(k), 24)} (${n}${j ? "" : ` of ${total}`})`).join(", ");
      found.push(el("dt", {}, "Votes of models"), el("dd", { class: "light" }, votes || "none"));
    }
    if (D.annotations && place < LISTED) {
      const said = D.annotations.labels[place].map(([j, label]) => `${short(D.annotations.names[j], 24)}: ${short(label, 24)}`).join(", ");
      found.push(el("dt", {}, "Annotators"), el("dd", { class: "light" }, said || "none"));
    }
    if (R.verified[place] >= 0) found.push(el("dt", {}, "Verified earlier"), el("dd", {}, word(name(R.verified[place]))));
    return found;
  }
  function decision(place) {
    const made = decisions.get(place), by = made && nameOf(made) ? `, by ${short(nameOf(made))}` : "";
    return made ? [el("dt", {}, "Decision"), el("dd", {}, described(place) + by)] : [];
  }
  function contentOf(place) {
    if (KIND === "text") return el("div", { class: "look" }, el("pre", { class: "text", dir: "auto", tabindex: "0", "aria-label": "Text of the row" }, D.content.text[place] || " "));
    if (KIND !== "fields") return null;
    const other = suggestion(place), shortOther = other >= 0 ? short(name(other), 20) : "";
    const lines = D.content.cells[place].map(([j, value, typical, typicalOther]) =>
      el("tr", {}, el("th", { scope: "row" }, el("bdi", {}, short(D.content.names[j], 60))), el("td", { colspan: typical ? null : 3 }, el("bdi", {}, value)),
        typical ? [typical, typicalOther].map((text) => el("td", { class: "sub" }, el("bdi", {}, text))) : []));
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Columns that speak most against the given label" },
      el("table", { class: "fields" }, el("thead", {}, el("tr", {}, el("th", {}, "Column"), el("th", {}, "Value"),
        el("th", {}, `Typical of ${short(name(R.given[place]), 20)}`), el("th", {}, other >= 0 ? `Typical of ${shortOther}` : ""))), el("tbody", {}, lines)));
  }
  function near(place) {
    if (!D.near || place >= D.near.length) return null;
    const figures = D.near[place].filter((neighbor) => neighbor >= 0).map((neighbor) => {
      const text = KIND === "text" ? short(D.content.text[neighbor], 120)
        : KIND === "fields" ? D.content.cells[place].map(([j]) => (D.content.cells[neighbor].find((cell) => cell[0] === j) || [])).filter((cell) => cell.length).map(([j, value]) => `${short(D.content.names[j], 20)} ${short(value, 20)}`).join(", ") : "";
      return el("figure", {}, tile(neighbor, 64),
        el("figcaption", {}, el("bdi", {}, `Nearest ${short(name(R.given[neighbor]), 24)}: ${rowName(neighbor)}`), text ? el("br") : null, text ? el("bdi", {}, text) : null));
    });
    return figures.length ? el("div", { class: "near" }, figures) : null;
  }
  function actions(place, given, other) {
    const made = decisions.get(place);
    const pressed = (label) => String(Boolean(made) && made.label === label);
    const button = (key, text, action, state) => el("button", { type: "button", onclick: action, "aria-pressed": state },
      el("kbd", {}, key), " ", el("bdi", {}, text));
    const bar = el("div", { class: "acts", role: "group", "aria-label": "Decision" },
      button("R", `Right: ${short(name(given), 30)}`, () => decide(given), pressed(given)),
      other >= 0 ? button("S", `Wrong: it is ${short(name(other), 30)}`, () => decide(other), pressed(other)) : null,
      !hasOthers(place) ? null : button("C", "Wrong: another label …", choose, made ? String(made.label >= 0 && made.label !== given && made.label !== other) : "false"),
      button("U", "Unclear", () => decide(UNCLEAR), pressed(UNCLEAR)),
      el("button", { type: "button", onclick: () => skip(1) }, el("kbd", {}, "N"), " Skip"));
    const hint = digits.size ? `Or press the true label: ${[...digits].map(([key, k]) => (key === CLASSES[k] ? key : `${key} ${short(CLASSES[k], 16)}`)).join(", ")}.` : "";
    const parts = [bar, el("p", { class: "sub" }, hint)];
    const alike = duplicates(place);
    if (alike.length > 1) {
      const box = el("input", { type: "checkbox", id: "together", checked: together, onchange: (event) => { together = event.target.checked; } });
      parts.push(el("p", {}, el("label", { class: "check" }, box, ` review ${alike.length} near-duplicates together `, el("kbd", {}, "B"))));
    }
    const note = el("input", { id: "note", autocomplete: "off", oninput: (event) => takeNote(place, event.target.value) });
    note.value = made ? made.note : notes.get(place) || "";
    parts.push(el("p", {}, el("label", {}, `Note on ${rowName(place)}, kept with its decision `, el("kbd", {}, "T"), " ", note)));
    return el("div", {}, parts);
  }
  function duplicates(place) {
    const group = R.group[place];
    return group < 0 ? [place] : [...PLACE.values()].filter((each) => R.group[each] === group);
  }
  function takeNote(place, text) {
    notes.set(place, text);
    if (!decisions.has(place)) return;
    decisions.get(place).note = text;
    saved = false;
    clearTimeout(storeTimer);
    storeTimer = setTimeout(store, 200);
  }
  const nameOf = (made) => made.by ?? reviewer; // decided here before a name was entered
  // ---- deciding -------------------------------------------------------------------------------
  function decide(label) {
    const place = view[current], time = new Date().toISOString();
    const places = (together ? duplicates(place) : [place]).filter((each) => each === place || !decisions.has(each));
    act(places.map((each) => [each, { label, by: reviewer || null, time, note: notes.get(each) || "" }]));
    const done = `${rowName(place)}: ${described(place)}${places.length > 1 ? `, with ${places.length - 1} near-duplicates` : ""}.`;
    if (filter.show === "open") computeView();
    select(filter.show === "open" ? current : next(), done);
  }
  const skip = (step) => select((current + step + view.length) % view.length, step > 0 ? "Skipped." : "Back.");
  // ---- choosing a class -----------------------------------------------------------------------
  let options = [], option = 0;
  function choose() {
    $("query").value = "";
    listOptions();
    $("choose").showModal();
    $("query").focus();
  }
  function listOptions() {
    const text = $("query").value.trim().toLowerCase();
    const at = CLASSES.map((label) => label.toLowerCase().indexOf(text)), all = [...CLASSES.keys()];
    options = [...all.filter((k) => at[k] === 0), ...all.filter((k) => at[k] > 0)].slice(0, 50);
    option = 0;
    $("n-options").textContent = options.length === 50 ? `The first 50 of ${CLASSES.length} classes; type to find others.` : `${options.length} ${options.length === 1 ? "class" : "classes"}`;
    renderOptions();
  }
  function renderOptions() {
    $("options").replaceChildren(...options.map((k, j) => el("li", { role: "option", id: "option-" + j,
      "aria-selected": String(j === option), onclick: () => take(j) }, el("bdi", {}, short(CLASSES[k], 200)))));
    $("query").setAttribute("aria-activedescendant", options.length ? "option-" + option : "");
    if (options.length) $("option-" + option).scrollIntoView({ block: "nearest" });
  }
  function take(j) {
    if (!options.length) return;
    $("choose").close();
    decide(options[j]);
  }
  $("query").addEventListener("input", listOptions);
  $("query").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      option = (option + (event.key === "ArrowDown" ? 1 : options.length - 1)) % Math.max(options.length, 1);
      renderOptions();
    } else if (event.key === "Enter") take(option);
    else return;
    event.preventDefault();
  });
  $("cancel").addEventListener("click", () => $("choose").close());
  $("choose").addEventListener("close", () => $("list").focus());
  // ---- progress, and the precision so far -----------------------------------------------------
  // The interval of Clopper and Pearson, as in the report of apply_corrections.
  function interval(wrong, n) {
    const logs = [0];
    for (let k = 1; k <= n; k++) logs.push(logs[k - 1] + Math.log(k));
    const atMost = (most, p) => logs.slice(0, most + 1).reduce((sum, log, k) =>
      sum + Math.exp(logs[n] - log - logs[n - k] + k * Math.log(p) + (n - k) * Math.log1p(-p)), 0);
    const solve = (most, tail) => {
      let p = 0;
      for (let step = 0.5; step > 1e-4; step /= 2) if (atMost(most, p + step) > tail) p += step;
      return p;
    };
    return [wrong ? solve(wrong - 1, 0.95) : 0, wrong < n ? solve(wrong, 0.05) : 1];
  }
  function renderProgress() {
    const count = { flagged: [0, 0], audit: [0, 0] };
    for (const [place, made] of decisions) {
      const kind = R.flagged[place] ? "flagged" : R.audit[place] ? "audit" : null;
      if (made.label === UNCLEAR || !kind) continue;
      count[kind][0] += made.label !== R.given[place];
      count[kind][1] += 1;
    }
    const done = waiting.filter((place) => decisions.has(place)).length;
    const unclear = [...decisions.values()].filter((made) => made.label === UNCLEAR).length;
    const sentence = (what, [wrong, n]) => {
      if (!n) return "";
      const [low, high] = interval(wrong, n);
      return ` · ${what}: ${wrong} of ${n} wrong (${percent(wrong / n)}, 90 % interval ${percent(low)} to ${percent(high)})`;
    };
    $("progress").textContent = `${done} of ${waiting.length} reviewed${decisions.size > done ? `, and ${decisions.size - done} others` : ""}${unclear ? `, ${unclear} unclear` : ""}`
      + sentence("flagged", count.flagged) + sentence("random sample", count.audit);
    $("bar").style.width = 100 * done / Math.max(waiting.length, 1) + "%";
    $("undo").disabled = at === 0;
    $("redo").disabled = at === log.length;
  }
  // ---- saving and loading ---------------------------------------------------------------------
  // Keep in step with escape_field and unescape_field of _correction_file.py.
  const escape = (text) => {
    const line = text.replace(/[\\\p{Cc}\u2028\u2029\ufeff]|\p{Cs}/gu, (c) =>
      c === "\\" ? "\\\\" : "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
    return '"' + (/^['=+@-]/.test(line) ? "'" + line : line).replaceAll('"', '""') + '"';
  };
  const unescape = (field) => field.replace(/^'/, "").replace(/\\(?:u([0-9a-f]{4})|(\\))/g,
    (_, code, slash) => (slash ? "\\" : String.fromCharCode(parseInt(code, 16))));
  function toText() {
    const lines = [COLUMNS.join(",")];
    for (const [place, made] of [...decisions].sort((a, b) => R.row[a[0]] - R.row[b[0]])) {
      const right = made.label === R.given[place];
      const source = R.flagged[place] ? "flagged" : R.audit[place] ? "audit" : "unflagged";
      lines.push([D.fingerprint, D.counts.rows, R.row[place], R.id ? R.id[place] : "", CLASSES[R.given[place]],
        made.label === UNCLEAR ? "unclear" : right ? "right" : "wrong", made.label === UNCLEAR || right ? "" : CLASSES[made.label],
        source, source === "audit" ? D.audit.sampled_from : "", nameOf(made), made.time, made.note].map((value) => escape(String(value))).join(","));
    }
    return lines.join("\r\n") + "\r\n";
  }
  function save() {
    const url = URL.createObjectURL(new Blob([toText()], { type: "text/csv" }));
    el("a", { href: url, download: "corrections.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    saved = true;
    store();
    announce(`${decisions.size} decisions saved to corrections.csv.`);
  }
  function parse(text) {
    text = text.replace(/^\ufeff/, "");
    const head = text.split("\n", 1)[0];
    const sep = [",", ";", "\t"].reduce((a, b) => (head.split(b).length > head.split(a).length ? b : a));
    const rows = [];
    let row = [], field = "", quoted = false;
    for (let k = 0; k < text.length; k++) {
      const c = text[k];
      if (quoted) {
        if (c !== '"') field += c;
        else if (text[k + 1] === '"') { field += '"'; k++; } else quoted = false;
      } else if (c === '"') quoted = true;
      else if (c === sep) { row.push(field); field = ""; }
      else if (c === "\n") { row.push(field.replace(/\r$/, "")); rows.push(row); row = []; field = ""; }
      else field += c;
    }
    if (quoted) throw new Error("the file is incomplete");
    if (field || row.length) { row.push(field); rows.push(row); }
    return rows.filter((each) => each.some((value) => value.trim()));
  }
  function load(text) {
    const [head, ...lines] = parse(text), column = new Map((head || []).map((each, j) => [each.trim(), j]));
    const lacking = COLUMNS.filter((each) => !column.has(each));
    if (lacking.length) throw new Error(`it has no column ${lacking.join(", ")}`);
    const code = new Map(CLASSES.map((label, k) => [label, k])), changes = new Map();
    for (const [number, line] of lines.entries()) {
      const where = `line ${number + 2}`;
      if (line.length !== head.length) throw new Error(`${where} is incomplete`);
      const value = (each) => unescape(line[column.get(each)]);
      if (value("fingerprint") !== D.fingerprint) throw new Error(`${where} belongs to other labels`);
      const place = PLACE.get(Number(value("row")));
      if (place === undefined) throw new Error(`row ${short(value("row"))} of ${where} is not in this report`);
      if (value("given_label") !== CLASSES[R.given[place]]) throw new Error(`${where} has another given label`);
      const kind = value("decision"), label = { right: R.given[place], wrong: code.get(value("new_label")), unclear: UNCLEAR }[kind];
      if (label === undefined) throw new Error(`${where} holds an unknown label or decision`);
      changes.set(place, { label, by: value("reviewer"), time: value("time"), note: value("note") });
    }
    const named = (made) => made && JSON.stringify({ ...made, by: nameOf(made) });
    const fresh = [...changes].filter(([place, made]) => named(decisions.get(place)) !== named(made));
    if (fresh.length) act(fresh);
    showState();
    refresh();
    return fresh.length;
  }
  $("file").addEventListener("change", async (event) => {
    const file = event.target.files[0];
    if (!file) return;
    try {
      announce(`${load(await file.text())} decisions loaded.`);
      $("state").textContent = $("live").textContent;
    } catch (error) {
      $("banner").hidden = false;
      $("banner").textContent = `The file was not loaded: ${error.message}.`;
    }
    event.target.value = "";
  });
  window.addEventListener("beforeunload", (event) => { if (decisions.size && !saved) event.preventDefault(); });
  // ---- where: the map of given against suggested labels ----------------------------------------
  function renderMap() {
    const totals = new Map();
    for (const [a, b, n] of D.pairs) for (const k of [a, b]) totals.set(k, (totals.get(k) || 0) + n);
    const shown = [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a)).slice(0, 20).sort((a, b) => a - b);
    if (!shown.length) return $("map-box").replaceChildren(el("p", { class: "sub" }, "No label is flagged."));
    const place = new Map(shown.map((k, j) => [k, j])), size = 34;
    const longest = Math.min(Math.max(...shown.map((k) => CLASSES[k].length)), 12);
    const left = 14 + 7 * longest, top = 44 + 6 * longest;
    const most = Math.max(...D.pairs.map((pair) => pair[2]));
    const svg = (tag, properties, ...children) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(properties)) node.setAttribute(key, value);
      node.append(...children);
      return node;
    };
    const width = Math.max(left + shown.length * size + 5 * longest, 150), height = top + shown.length * size + 4;
    const parts = [svg("text", { x: 0, y: 14 }, "given ↓   suggested →")];
    shown.forEach((k, j) => {
      parts.push(svg("text", { x: left - 6, y: top + (j + 0.62) * size, "text-anchor": "end" }, short(CLASSES[k], 12)));
      const x = left + (j + (longest > 2 ? 0.62 : 0.5)) * size;
      const turned = longest > 2 ? { transform: `rotate(-55 ${x} ${top - 6})` } : { "text-anchor": "middle" };
      parts.push(svg("text", { x, y: top - 6, ...turned }, short(CLASSES[k], 12)));
      shown.forEach((_, i) => parts.push(svg("rect", { x: left + i * size, y: top + j * size, width: size - 2, height: size - 2, rx: 3, class: "h0" })));
    });
    for (const [a, b, n] of D.pairs) {
      if (!place.has(a) || !place.has(b)) continue;
      const level = Math.max(1, Math.ceil(4 * n / most)), chosen = filter.given === a && filter.suggested === b;
      const x = left + place.get(b) * size, y = top + place.get(a) * size;
      const cell = svg("g", { class: chosen ? "cell chosen" : "cell", tabindex: 0, role: "button", "aria-pressed": String(chosen),
        "aria-label": `${n} rows given ${short(CLASSES[a])}, suggested ${short(CLASSES[b])}` },
        svg("rect", { x, y, width: size - 2, height: size - 2, rx: 3, class: "h" + level }),
        svg("text", { x: x + size / 2 - 1, y: y + size / 2 + 4, "text-anchor": "middle", class: level > 2 ? "on" : "" }, String(n)));
      const pick = () => {
        $("given").value = filter.given = chosen ? -2 : a;
        $("suggested").value = filter.suggested = chosen ? -2 : b;
        refresh();
        announce(`${view.length} rows. ${spoken()}`);
      };
      cell.addEventListener("click", pick);
      cell.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } });
      parts.push(cell);
    }
    $("map-box").replaceChildren(svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
      "aria-label": "Flagged rows by given and suggested label; choose a cell to filter" }, ...parts),
      totals.size > shown.length ? el("p", { class: "sub" }, `${totals.size - shown.length} classes with fewer flagged rows are left out`) : "");
  }
  // ---- controls -------------------------------------------------------------------------------
  function fillSelect(id, codes) {
    const used = [...new Set(codes)].filter((k) => k >= 0).sort((a, b) => a - b);
    $(id).replaceChildren(el("option", { value: "-2" }, "any"), ...used.map((k) => el("option", { value: k }, short(CLASSES[k], 60))));
  }
  fillSelect("given", R.given.slice(0, LISTED));
  fillSelect("suggested", R.suggested.slice(0, LISTED));
  for (const id of ["show", "given", "suggested", "order"]) {
    $(id).addEventListener("change", (event) => {
      filter[id] = id === "show" || id === "order" ? event.target.value : Number(event.target.value);
      refresh();
      announce(`${view.length} rows.`);
    });
  }
  let typing = 0;
  $("search").addEventListener("input", (event) => {
    clearTimeout(typing);
    filter.text = event.target.value.trim().toLowerCase();
    typing = setTimeout(() => { refresh(); announce(`${view.length} rows.`); }, 150);
  });
  $("clear").addEventListener("click", () => {
    $("given").value = $("suggested").value = filter.given = filter.suggested = -2;
    $("search").value = filter.text = "";
    refresh();
    $("list").focus();
  });
  for (const [id, action] of Object.entries({ undo: () => move(-1), redo: () => move(1), save, load: () => $("file").click() })) $(id).addEventListener("click", action);
  $("mix").addEventListener("change", () => refresh());
  $("reviewer").addEventListener("input", (event) => { reviewer = event.target.value; store(); });
  $("list").addEventListener("scroll", () => { if (drawn !== $("list").scrollTop) renderList(); });
  window.addEventListener("resize", renderList);

  // No decision on a row that is not in the window: the first key shows it.
  function broughtIntoView() {
    const box = $("card").getBoundingClientRect(), before = scrollY;
    if (box.top < innerHeight / 2 && box.bottom > innerHeight / 4) return false;
    $("review").scrollIntoView();
    return scrollY !== before;
  }
  const KEYS = new Map([
    ["r", () => decide(R.given[view[current]])],
    ["s", () => (suggestion(view[current]) >= 0 ? decide(suggestion(view[current])) : announce("Nothing is suggested."))],
    ["c", () => (hasOthers(view[current]) ? choose() : announce("There is no other label."))], ["u", () => decide(UNCLEAR)], ["n", () => skip(1)], [" ", () => skip(1)], ["p", () => skip(-1)],
    ["b", () => { const box = $("together"); if (box) { box.checked = together = !together; announce(together ? "Near-duplicates are reviewed together." : "One row at a time."); } }],
    ["t", () => $("note").focus()],
  ]);
  // With at most ten classes a digit is a class: the one of that name, or of that place.
  const digits = new Map(CLASSES.every((label) => /^\d$/.test(label)) ? CLASSES.map((label, k) => [label, k])
    : CLASSES.length <= 9 ? CLASSES.map((_, k) => [String(k + 1), k]) : []);
  document.addEventListener("keydown", (event) => {
    const target = event.target, modified = event.ctrlKey || event.metaKey, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if ($("choose").open || event.altKey) return;
    const types = target.matches("input:not([type=checkbox]), select, textarea");
    if (types && !(modified && key === "s")) {
      if (target.id === "note" && (key === "Enter" || key === "Escape")) $("list").focus();
      return;
    }
    let action = null;
    if (modified) {
      action = { z: () => move(event.shiftKey ? 1 : -1), y: () => move(1), s: save }[key];
    } else if (target.id === "list" && ["ArrowDown", "ArrowUp", "Home", "End"].includes(key)) {
      action = () => select({ ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: view.length - 1 }[key], "");
    } else if ($("keys").checked) {
      if ((key === " " || key === "Enter") && target.matches("button, a, summary, [role=button], input")) return;
      if (key === "z" || key === "y") action = () => move(key === "y" || event.shiftKey ? 1 : -1);
      else if (view.length) action = KEYS.get(key) || (digits.has(key) ? () => decide(digits.get(key)) : null);
    }
    if (!action) return;
    event.preventDefault();
    if (action === save || !broughtIntoView()) action();
    else announce(spoken());
  });
  // ---- start ----------------------------------------------------------------------------------
  restore();
  showState();
  $("reviewer").value = reviewer;
  $("mix").disabled = !D.audit.rows;
  $("mix").checked = D.counts.flagged === 0 && D.audit.rows > 0;
  refresh();
  select(Math.max(view.findIndex((place) => !decisions.has(place)), 0));
  document.documentElement.dataset.ready = "true";
})();
