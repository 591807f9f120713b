// The page of dftk.serve: sends each image to /api/predict and shows the answer. Text from outside
// enters the page as text nodes only.
"use strict";

const $ = (selector) => document.querySelector(selector);
let model; // the answer of /api/model
let threshold;
let verdicts = []; // of the last files: answers of /api/predict, or {filename, error}
let running = false;
let modelRequests = 0; // number of requests to /api/model

const label = (verdict) =>
  verdict.error ? "" : verdict.probability >= threshold ? "fake" : "real";

// Three digits; a probability is never rounded to 0 or 1.
function number(probability) {
  if (probability === undefined) return "–";
  if (probability >= 0.9995) return "> 0.999";
  return probability < 0.0005 ? "< 0.001" : probability.toFixed(3);
}

const megabytes = (bytes) => String(Number((bytes / 2 ** 20).toPrecision(3)));
const short = (value) => String(Number(value.toFixed(4)));

function element(name, kind, ...children) {
  const node = document.createElement(name);
  if (kind) node.className = kind;
  node.append(...children);
  return node;
}

const pill = (verdict) =>
  element("span", `pill ${label(verdict)}`, label(verdict) || "not scored");

function figure(source, alt, caption) {
  const image = element("img");
  image.src = source;
  image.alt = alt;
  return element("figure", "", image, element("figcaption", "", caption));
}

function bar(probability) {
  const [filled, mark] = [element("div"), element("i")];
  filled.style.width = `${100 * probability}%`;
  mark.style.left = `${100 * threshold}%`;
  return element("div", "bar", filled, mark);
}

function card(verdict) {
  const kind = label(verdict);
  const words = element("div", "words", pill(verdict));
  const node = element("article", `panel card ${kind}`, words);
  const name = element("p", "name soft", verdict.filename);
  if (verdict.error) {
    words.append(element("p", "", verdict.error), name);
    return node;
  }
  const share = element("span", "", " probability of fake");
  const side = kind === "fake" ? "at or above" : "below";
  words.append(
    element("p", "share", number(verdict.probability), share),
    bar(verdict.probability),
    element("p", "soft", `${side} the threshold of ${short(threshold)}. ${doubt(kind)}`),
    name,
  );
  node.append(
    element(
      "div", "pictures",
      figure(verdict.picture, verdict.filename, "as sent"),
      figure(verdict.overlay, `heat map over ${verdict.filename}`, "what speaks for fake"),
    ),
  );
  return node;
}

// How often the detector makes the error that would make this verdict wrong.
function doubt(kind) {
  const rate = kind === "fake" ? model.real_called_fake : model.fakes_missed;
  if (!rate || rate.rate === null) return "How often that is wrong is not measured.";
  const other = kind === "fake" ? "real" : "fake";
  return `So are ${Math.round(100 * rate.rate)} of 100 ${other} images.`;
}

function rate(found, text) {
  if (!found || found.rate === null) return element("li", "", `Not measured: how often it ${text}.`);
  const [low, high] = found.interval.map((bound) => Math.round(100 * bound));
  const kind = text === "calls fake" ? "real" : "fake";
  return element(
    "li", "",
    element("b", "", String(Math.round(100 * found.rate))), ` of 100 ${kind} images it ${text} `,
    element("span", "soft", `(${low} to ${high} at 95\u00a0%, of ${found.n} measured)`),
  );
}

function csv() {
  // Spreadsheets would run a name that begins like a formula (OWASP, CSV injection).
  const cell = (text) => {
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const rows = verdicts.map((verdict) => [
    cell(verdict.filename), verdict.probability ?? "", label(verdict), cell(verdict.error ?? ""),
  ]);
  return ["filename,probability,label,error", ...rows.map((row) => row.join(","))].join("\n") + "\n";
}

function showSummary() {
  const several = verdicts.length > 1 && !running;
  $("#summary").hidden = !several;
  if (!several) return;
  const count = (kind) => verdicts.filter((verdict) => label(verdict) === kind).length;
  const failed = count("") ? `, ${count("")} not scored` : "";
  $("#summary h2").textContent = `${count("fake")} fake, ${count("real")} real${failed}`;
  $("#summary tbody").replaceChildren(
    ...verdicts.map((verdict) =>
      element(
        "tr", "",
        element("td", "", verdict.filename), element("td", "", number(verdict.probability)),
        element("td", "", pill(verdict)),
      )),
  );
  const link = $("#summary a");
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
}

function show() {
  $("#cards").replaceChildren(...verdicts.map(card));
  showSummary();
}

async function predict(file) {
  const filename = file.name;
  const { max_bytes: most } = model.uploads;
  if (file.size > most) {
    return { filename, error: `more than ${megabytes(most)} MB, the most this server takes` };
  }
  try {
    const form = new FormData();
    form.append("file", file);
    const response = await fetch("api/predict?explain=true", { method: "POST", body: form });
    const answer = await response.json();
    return { ...answer, filename };
  } catch (error) {
    return { filename, error: `no answer from the server (${error.message}); is it still running?` };
  }
}

async function predictAll(list) {
  const most = model.uploads.max_files;
  const files = [...list];
  if (running || !files.length) return;
  running = true;
  verdicts = [];
  show();
  for (const [position, file] of files.entries()) {
    $("#progress").textContent = `Picture ${position + 1} of ${files.length}…`;
    verdicts.push(
      position < most
        ? await predict(file)
        : { filename: file.name, error: `not among the first ${most} files` },
    );
    $("#cards").append(card(verdicts.at(-1)));
  }
  running = false;
  $("#progress").textContent = "";
  show();
}

async function showModel(value) {
  const request = ++modelRequests;
  const response = await fetch(value === undefined ? "api/model" : `api/model?threshold=${value}`);
  const answer = await response.json();
  if (request !== modelRequests) return; // answers may overtake each other; the last one counts
  model = answer;
  threshold = model.threshold;
  $("#threshold output").textContent = short(threshold);
  $("#rates").replaceChildren(
    rate(model.real_called_fake, "calls fake"),
    rate(model.fakes_missed, "misses"),
  );
  show();
}

async function start() {
  await showModel();
  $("aside").hidden = false; // only when there is something in it
  const { max_files: files, max_bytes: bytes, max_pixels: pixels } = model.uploads;
  $("#accepted").textContent = `JPEG, PNG, GIF or BMP, up to ${files} at once, ` +
    `${megabytes(bytes)} MB and ${(pixels / 1e6).toFixed(pixels < 1e7 ? 1 : 0)} megapixels each`;
  $("#measured").textContent = `Measured on: ${model.measured_on}.`;
  $("#limits").textContent = model.limits;
  $("#model").textContent = model.model;
  $("#trained").textContent = model.trained_on;
  $("#source").textContent = `${short(threshold)}, ${model.threshold_source}`;
  $("#threshold input").value = threshold;
  $("#threshold input").addEventListener("input", (event) => {
    $("#threshold output").textContent = short(Number(event.target.value));
  });
  $("#threshold input").addEventListener("change", (event) => showModel(event.target.value));
  $("#files").addEventListener("change", async (event) => {
    await predictAll(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
  addEventListener("dragover", (event) => event.preventDefault());
  for (const [name, over] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
    $("#drop").addEventListener(name, () => $("#drop").classList.toggle("over", over));
  }
  addEventListener("drop", (event) => {
    event.preventDefault(); // otherwise the browser opens the image instead of the page
    predictAll(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => predictAll(event.clipboardData.files));
}

start().catch((error) => {
  $("#progress").textContent = `The server does not answer (${error.message}); reload the page.`;
});
