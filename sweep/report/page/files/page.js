// The page: what is chosen, its controls, sentence, figures, tables and files, and the address that says all of it.

function element(tag, more = {}, ...children) {
  const { data, ...plain } = more, node = Object.assign(document.createElement(tag), plain);
  for (const [key, value] of Object.entries(data ?? {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function fileName(text) {
  return text.normalize("NFKD").replace(/[^\w]+/g, "_").replace(/^_+|_+$/g, "").slice(0, 60) || "figure";
}

// One answer of the page; identifiers and keys of the address of all but the first begin with its number.
class Page {
  constructor(data) {
    const payload = JSON.parse(data.textContent);
    this.prefix = data.dataset.prefix;
    this.level = `h${data.dataset.level}`;
    this.payload = payload;
    for (const one of payload.live.fixed) one.written = one.at;
    for (const one of payload.live.uncertain) for (const field of one.fields) field.written = field.value;
    this.dims = payload.dims;
    this.at = Object.fromEntries(Object.entries(payload.dims).map(([dim, about]) => [dim, about.at]));
    this.choice = payload.choices[0];
    this.menus = {};
    this.figures = [];
    this.ready = false;
  }

  part(name) {
    return document.getElementById(this.prefix + name);
  }

  async unpack(variables) {
    const names = Object.keys(variables);
    const values = await Promise.all(names.map((name) => unpacked(variables[name])));
    this.variables = Object.fromEntries(names.map((name, i) => [name, values[i]]));
    for (const panel of this.payload.choices.flatMap((choice) => choice.panels)) {
      for (const plane of panel.others ?? []) plane.values ??= (await unpacked(plane)).values;
    }
  }

  // What is chosen, as the address writes it: values, so that a link means the same on a page with other nodes.
  address() {
    const parts = this.payload.choices.length > 1 ? [["show", this.choice.name]] : [];
    for (const dim of this.choice.dims) parts.push([dim, String(this.dims[dim].values[this.at[dim]])]);
    for (const one of this.payload.live.fixed) parts.push([`fixed.${one.name}`, String(one.values[one.at])]);
    for (const one of this.payload.live.uncertain) for (const field of one.fields) if (field.value !== field.written) parts.push([`uncertain.${one.name}.${field.key}`, String(field.value)]);
    for (const [key, value] of Object.entries(this.menus)) parts.push([key, value]);
    return parts.map(([key, value]) => [this.prefix + key, value]);
  }

  read(address) {
    const all = [...new URLSearchParams(address.replace(/^#/, ""))];
    const parts = new Map(all.filter(([key]) => key.startsWith(this.prefix)).map(([key, text]) => [key.slice(this.prefix.length), text]));
    this.choice = this.payload.choices.find((choice) => choice.name === parts.get("show")) ?? this.choice;
    for (const one of this.payload.live.uncertain) {
      for (const field of one.fields) {
        const text = parts.get(`uncertain.${one.name}.${field.key}`);
        if (text && Number.isFinite(Number(text))) field.value = Number(text);
      }
    }
    for (const one of this.payload.live.fixed) {
      const text = parts.get(`fixed.${one.name}`);
      if (text && Number.isFinite(Number(text))) one.at = nearest(one.values, Number(text));
    }
    for (const [key, text] of parts) {
      const about = Object.hasOwn(this.dims, key) ? this.dims[key] : null;
      if (about && typeof about.values[0] === "number" && text !== "" && Number.isFinite(Number(text))) this.at[key] = nearest(about.values, Number(text));
      else if (about && about.values.includes(text)) this.at[key] = about.values.indexOf(text);
      else if (/^figure\d+\.(x|y|lines)$/.test(key)) this.menus[key] = text;
    }
  }

  build() {
    const form = this.part("controls");
    form.replaceChildren();
    form.onsubmit = (event) => event.preventDefault();
    if (this.payload.choices.length > 1) {
      const options = this.payload.choices.map((choice) => element("option", { value: choice.name, textContent: choice.label }));
      const menu = element("select", { id: `${this.prefix}show` }, ...options);
      menu.value = this.choice.name;
      menu.onchange = () => {
        this.choice = this.payload.choices.find((choice) => choice.name === menu.value);
        this.menus = {};
        this.build();
        this.draw();
        this.part("show").focus();
      };
      form.append(element("p", {}, element("label", { htmlFor: `${this.prefix}show`, textContent: "Show" }), menu));
    }
    for (const dim of this.choice.dims) form.append(this.slider(dim));
    for (const one of this.payload.live.fixed) form.append(this.dial(one));
    for (const one of this.payload.live.uncertain) form.append(this.distribution(one));
    if (this.isLive()) form.append(element("button", { type: "button", textContent: "Save as a config", onclick: () => this.keep() }));
    form.hidden = !form.children.length;
    const box = this.part("figures");
    for (const figure of this.figures) if (window.Plotly) Plotly.purge(figure.plot);
    this.figures = this.choice.panels.map((panel, i) => this.figure(panel, i));
    box.replaceChildren(...this.figures.map((figure) => figure.node));
  }

  slider(dim) {
    const about = this.dims[dim], id = `${this.prefix}at-${dim}`;
    const output = element("output", { data: { for: id } });
    const input = element("input", { type: "range", id, min: 0, max: about.values.length - 1, step: 1, value: this.at[dim] });
    const caption = element("label", { htmlFor: id }, about.label, " ", element("code", { textContent: dim }));
    const show = () => {
      const text = quantity(about.values[this.at[dim]], about);
      output.textContent = text;
      input.value = this.at[dim];
      input.setAttribute("aria-valuetext", text);
    };
    input.oninput = () => this.move({ [dim]: Number(input.value) });
    about.show = show;
    show();
    return element("p", { className: "slider" }, caption, output, input);
  }

  // A slider of a value that the server computes with.
  dial(one) {
    const id = `${this.prefix}fixed-${one.name}`, output = element("output", { data: { for: id } });
    const input = element("input", { type: "range", id, min: 0, max: one.values.length - 1, step: 1, value: one.at });
    const caption = element("label", { htmlFor: id }, one.label, " ", element("code", { textContent: one.name }));
    one.show = () => {
      const text = quantity(one.values[one.at], one);
      output.textContent = text;
      input.value = one.at;
      input.setAttribute("aria-valuetext", text);
    };
    input.oninput = () => {
      one.at = Number(input.value);
      one.show();
      this.evaluate();
    };
    one.show();
    return element("p", { className: "slider" }, caption, output, input);
  }

  // The numbers of a distribution that the server draws from.
  distribution(one) {
    const fields = one.fields.map((field) => {
      const id = `${this.prefix}uncertain-${one.name}-${field.key}`;
      const input = element("input", { type: "number", id, step: "any", value: field.value, required: true });
      if (field.least !== null) input.min = field.least;
      if (field.most !== null) input.max = field.most;
      input.onchange = () => {
        if (!input.checkValidity()) {
          input.reportValidity();
          return;
        }
        field.value = input.valueAsNumber;
        this.evaluate();
      };
      return element("span", {}, element("label", { htmlFor: id, textContent: field.unit ? `${field.key} (${field.unit})` : field.key }), input);
    });
    return element("fieldset", {}, element("legend", {}, `${one.label}, ${one.kind} `, element("code", { textContent: one.name })), ...fields);
  }

  isLive() {
    return this.payload.live.fixed.length + this.payload.live.uncertain.length > 0;
  }

  isChanged() {
    const { fixed, uncertain } = this.payload.live;
    return fixed.some((one) => one.at !== one.written) || uncertain.some((one) => one.fields.some((field) => field.value !== field.written));
  }

  post(path) {
    const { live } = this.payload;
    const fixed = Object.fromEntries(live.fixed.map((one) => [one.name, one.values[one.at]]));
    const uncertain = Object.fromEntries(live.uncertain.map((one) => [one.name, Object.fromEntries(one.fields.map((field) => [field.key, field.value]))]));
    return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ fixed, uncertain }) });
  }

  // A config that sweep run takes, of what is chosen.
  async keep() {
    const answer = await this.post("config");
    const content = await answer.json();
    if (answer.ok) save(`${fileName(this.payload.title)}.toml`, "application/toml", content.toml);
    else this.trouble = content.error;
    this.say();
  }

  // One question is on its way at a time, and after it the latest: moves in between are never asked.
  async evaluate() {
    this.again = true;
    if (this.waits) return;
    this.waits = true;
    const late = setTimeout(() => this.part("answer").setAttribute("aria-busy", "true"), 500);
    while (this.again) {
      this.again = false;
      try {
        const answer = await this.post("evaluate");
        const content = await answer.json();
        if (!answer.ok) throw new Error(content.error);
        await this.unpack(content.variables);
        content.choices.forEach((choice, i) => Object.assign(this.payload.choices[i], { texts: choice.texts, range: choice.range }));
        this.trouble = "";
      } catch (error) {
        this.trouble = error instanceof TypeError ? "The explorer has ended: nothing is computed any more." : error.message;
      }
      this.show();
    }
    clearTimeout(late);
    this.part("answer").removeAttribute("aria-busy");
    this.waits = false;
  }

  figure(panel, i) {
    const name = `figure${i + 1}`, id = this.prefix + name;
    const figure = {
      panel, id, name, drawn: null, menus: {},
      heading: element(this.level, { id: `${id}-title` }), controls: element("div", { className: "menus" }),
      plot: element("div", { className: "plot", data: { role: "img", "aria-labelledby": `${id}-title` } }),
      note: element("p", { className: "note" }), table: element("div", { className: "table" }),
    };
    const details = element("details", {}, element("summary", { textContent: "Numbers" }), figure.table);
    details.ontoggle = () => this.fill(figure);
    figure.details = details;
    const button = (text, act) => element("button", { type: "button", textContent: text, onclick: act });
    const csv = button("CSV", () => save(`${fileName(figure.drawn.title)}.csv`, "text/csv", this.csv(figure)));
    const json = button("JSON", () => save(`${fileName(figure.drawn.title)}.json`, "application/json", this.json(figure)));
    csv.setAttribute("aria-label", `Numbers of figure ${this.prefix}${i + 1} as CSV`);
    json.setAttribute("aria-label", `Numbers of figure ${this.prefix}${i + 1} as JSON`);
    const files = element("div", { className: "files" }, details, csv, json);
    figure.node = element("figure", { data: { "aria-labelledby": `${id}-title` } }, figure.heading, figure.controls, figure.plot, element("figcaption", {}, figure.note), files);
    return figure;
  }

  // A menu of a figure: its value, chosen earlier or by default.
  pick(figure, role, text, options, otherwise) {
    const key = `${figure.name}.${role}`;
    const chosen = options.includes(this.menus[key]) ? this.menus[key] : options.includes(otherwise) ? otherwise : options[0];
    if (options.length < 2) return chosen;
    let menu = figure.menus[role];
    const about = (name) => (name === "" ? "nothing else" : name);
    if (!menu) {
      menu = figure.menus[role] = element("select", { id: this.prefix + key });
      menu.onchange = () => {
        this.menus[key] = menu.value;
        this.draw();
      };
      figure.controls.append(element("span", {}, element("label", { htmlFor: this.prefix + key, textContent: text }), " ", menu));
    }
    if (menu.dataset.options !== options.join("\n")) {
      menu.replaceChildren(...options.map((name) => element("option", { value: name, textContent: about(name) })));
      menu.dataset.options = options.join("\n");
    }
    menu.value = chosen;
    return chosen;
  }

  move(places) {
    for (const [dim, place] of Object.entries(places)) {
      this.at[dim] = place;
      this.dims[dim].show?.();
    }
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.show();
    });
  }

  show() {
    this.say();
    if (this.ready) for (const figure of this.figures) this.plot(figure);
    try {
      history.replaceState(null, "", `#${new URLSearchParams(window.pages.flatMap((page) => page.address()))}`);
    } catch {} // a frame of a notebook has no address
  }

  say() {
    const sentence = this.part("sentence"), { choice } = this;
    if (this.trouble) {
      sentence.textContent = this.trouble;
      return;
    }
    this.part("range").textContent = choice.range;
    if (choice.texts) {
      const place = choice.dims.reduce((sum, dim) => sum * this.dims[dim].values.length + this.at[dim], 0);
      const [first, ...rest] = choice.texts[place].split("\n");
      sentence.replaceChildren(first, ...rest.map((line) => element("span", { className: "more", textContent: line })));
      return;
    }
    const parts = choice.said.map((name) => {
      const variable = this.variables[name];
      return name.endsWith("_standard_error") && choice.said.length > 1 ? null : [`${variable.label}: `, element("strong", { textContent: said(name, variable, this.at, this.dims.quantile) })];
    });
    const where = choice.dims.filter((dim) => dim !== "quantile").map((dim) => `${dim} = ${quantity(this.dims[dim].values[this.at[dim]], this.dims[dim])}`);
    for (const one of this.payload.live.fixed) if (one.at !== one.written) where.push(`${one.name} = ${quantity(one.values[one.at], one)}`);
    for (const one of this.payload.live.uncertain) for (const field of one.fields) if (field.value !== field.written) where.push(`${one.name}.${field.key} = ${quantity(field.value, field)}`);
    const words = parts.filter(Boolean).flatMap(([text, value], i) => (i ? ["; ", text, value] : [capital(text), value]));
    sentence.replaceChildren(...words, where.length ? `, at ${where.join(", ")}.` : ".");
  }

  plot(figure) {
    const letters = Math.max(24, Math.floor(((figure.plot.clientWidth || 600) - 90) / 7.5));
    const drawn = DRAW[figure.panel.type](figure.panel, this, (...menu) => this.pick(figure, ...menu), letters);
    figure.drawn = drawn;
    figure.heading.textContent = capital(drawn.title);
    figure.note.textContent = drawn.note.filter(Boolean).join(" ");
    drawn.layout.height += underneath(drawn, figure.plot.clientWidth || 600);
    figure.plot.style.height = `${drawn.layout.height}px`; // which a resized window takes
    Plotly.react(figure.plot, drawn.traces, drawn.layout, { displayModeBar: false, responsive: true });
    if (!figure.listens) {
      figure.plot.on("plotly_click", (event) => figure.drawn.moved && this.move(figure.drawn.moved(event.points[0])));
      figure.listens = true;
    }
    this.fill(figure);
  }

  fill(figure) {
    if (!figure.details.open || !figure.drawn) return;
    const { head, rows } = figure.drawn, most = 200;
    const line = (tag, cells) => element("tr", {}, ...cells.map((value) => element(tag, { textContent: typeof value === "number" ? number(value, 6) : value, ...(tag === "th" ? { scope: "col" } : {}) })));
    const table = element("table", {}, element("thead", {}, line("th", head)), element("tbody", {}, ...rows.slice(0, most).map((row) => line("td", row))));
    const rest = rows.length > most ? [element("p", { textContent: `The first ${most} of ${rows.length.toLocaleString("en-US")} rows; the files have all.` })] : [];
    figure.table.replaceChildren(table, ...rest);
    figure.table.tabIndex = 0;
    figure.table.setAttribute("role", "region");
    figure.table.setAttribute("aria-labelledby", `${figure.id}-title`);
  }

  csv(figure) {
    return [figure.drawn.head, ...figure.drawn.rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  }

  json(figure) {
    const at = Object.fromEntries(this.choice.dims.map((dim) => [dim, this.dims[dim].values[this.at[dim]]]));
    const plain = (value) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value);
    const rows = figure.drawn.rows.map((row) => row.map(plain));
    return JSON.stringify({ title: this.payload.title, figure: figure.drawn.title, ...this.payload.about, show: this.choice.name, at, columns: figure.drawn.head, rows }, null, 1);
  }
}

async function start() {
  window.pages = [...document.querySelectorAll("script.data")].map((data) => new Page(data));
  window.page = window.pages[0]; // for the browser's console
  for (const page of window.pages) {
    await page.unpack(page.payload.variables);
    page.read(location.hash);
    page.build();
    page.say();
  }
  const script = new TextDecoder().decode(await inflated(document.getElementById("plotly").textContent));
  document.head.append(element("script", { textContent: script }));
  for (const page of window.pages) {
    page.ready = true;
    page.show();
    await new Promise(requestAnimationFrame);
    if (page.isChanged()) page.evaluate();
  }
  const redraw = () => window.pages.forEach((page) => page.draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", redraw);
  matchMedia("print").addEventListener("change", () => window.pages.forEach((page) => page.show())); // before it is laid out
  addEventListener("hashchange", () => {
    if (/^#part\d+$/.test(location.hash)) return; // of the contents
    for (const page of window.pages) {
      page.read(location.hash);
      page.build();
      page.draw();
      if (page.isLive()) page.evaluate();
    }
  });
  document.documentElement.dataset.ready = "yes";
}

start();
