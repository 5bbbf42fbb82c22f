// What becomes of files that are dropped or pasted: texts go into the message box, conversations may be imported, and
// for everything else a sentence says why not.

const HEAD_BYTES = 100_000;
// What no text begins with, and what exported conversations begin with.
const ARCHIVE = /\.zip$/i;
const CONVERSATIONS = /"(mapping|chat|history)"\s*:\s*\{|"(chat_messages|conversations)"\s*:\s*\[/;
const UNREADABLE = /^(image\/(?!svg)|audio\/|video\/|application\/pdf$)/;

const boxOf = (target) => target.closest?.(".edit textarea") ?? document.getElementById("text");

// Nothing that is cut in the middle of a letter counts as broken.
const decode = (bytes, stream = false) => new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream });

// A file as text, or null: whatever its name says, a text is valid UTF-8 and has no zeros.
async function readText(file) {
  try {
    const text = decode(await file.arrayBuffer()).replace(/\r\n?/g, "\n");
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

async function isExport(file) {
  if (ARCHIVE.test(file.name)) return true;
  if (!/\.jsonl?$/i.test(file.name)) return false;
  try {
    return CONVERSATIONS.test(decode(await file.slice(0, HEAD_BYTES).arrayBuffer(), true));
  } catch {
    return false;
  }
}

// A fence is longer than any in the text, and says what the text is written in.
function fence(name, text) {
  const longest = Math.max(2, ...[...text.matchAll(/^ *(\x60{3,})/gm)].map(([, marks]) => marks.length));
  const marks = "\x60".repeat(longest + 1);
  const language = /\.(\w+)$/.exec(name)?.[1].toLowerCase().replace(/^txt$/, "") ?? "";
  return `${name}\n${marks}${language}\n${text.replace(/\n+$/, "")}\n${marks}\n`;
}

// After what is written already, with a line between.
function insert(box, block) {
  const before = box.value.trimEnd();
  box.value = before ? `${before}\n\n${block}` : block;
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

const countOf = (text) => [...text].length;

// What is to be said of a file, after it was taken in if that is possible.
async function takeOne([file, isFolder], box, imported) {
  if (isFolder) return { kind: "folder" };
  if (await isExport(file)) {
    imported.push(file);
    return { kind: "import" };
  }
  if (UNREADABLE.test(file.type)) return { kind: "picture" };
  if (!box) return { kind: "elsewhere" };
  const { name, size } = file;
  const most = Number(box.dataset.maxLength);
  // No letter takes more than four bytes.
  if (size > 4 * most) return { kind: "too-long", name };
  const text = await readText(file);
  if (text === null) return { kind: "unknown", name };
  const block = fence(name, text);
  if (countOf(box.value + block) > most) return { kind: "too-long", name };
  insert(box, block);
  return { kind: "added", name };
}

// The sentences are those of the site, in the reader's language; names are put into them as text.
async function fetchNotices() {
  const { files } = document.body.dataset;
  const answer = await fetch(files, { headers: { "HX-Request": "true" } });
  return new DOMParser().parseFromString(answer.ok ? await answer.text() : "", "text/html");
}

function putNames(element, names) {
  const place = element.querySelector("[data-names]");
  if (place) place.textContent = names.join(", ");
  return element;
}

function offerImport(element, files) {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  element.querySelector("[type=file]").files = transfer.files;
}

// Takes files into the message box, and says what became of each kind.
async function take(found, target) {
  const box = boxOf(target);
  const imported = [];
  const outcomes = [];
  for (const each of found) outcomes.push(await takeOne(each, box, imported));
  const notices = await fetchNotices();
  const shown = [];
  for (const element of notices.querySelectorAll("[data-kind]")) {
    const { kind } = element.dataset;
    const names = outcomes.filter((outcome) => outcome.kind === kind).map(({ name }) => name);
    if (!names.length) continue;
    putNames(element, names);
    if (kind === "import") offerImport(element, imported);
    if (kind === "added") document.getElementById("announcer").textContent = element.textContent.trim();
    else shown.push(element);
  }
  document.getElementById("notice")?.replaceChildren(...shown);
  if (outcomes.some(({ kind }) => kind === "added")) box.focus();
}

// While files are dragged over the page it shows that they may be dropped.
const mark = (isOver) => document.documentElement.classList.toggle("dropping", isOver);

addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || mark(false));

// Handles what happens with files: `found` are pairs of a file and whether it is a folder, once they can be read.
export function handle(type, found, target) {
  mark(type === "dragover");
  if (type !== "dragover") take(found.filter(([file, isFolder]) => file || isFolder), target);
}
