// What is read of an answer: its sentences in their order, each with its place on the page and its language. Code and
// tables are announced and not spelled out; a formula is read as it was written.

const ANNOUNCED = "figure.code, .table";
const PARAGRAPHS = "p, li, ul, ol, h1, h2, h3, h4, h5, h6, blockquote, div, hr";
// Some voices fall silent in the middle of what is longer.
const MOST_CHARS = 300;

function announce(element, codeIn) {
  const language = element.querySelector("code[class]") && element.querySelector("figcaption > span").textContent;
  const label = element.querySelector("[aria-label][role=group]").ariaLabel;
  const words = language ? codeIn.replace("#", language) : `${label}.`;
  return { words, node: element.querySelector("figcaption span, thead") ?? element };
}

// The words of an element with the nodes that they stand in, and an empty mark where a paragraph begins or ends.
function* walk(element, codeIn) {
  for (const node of element.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) yield { words: node.data.replaceAll("\n", " "), node };
    else if (node.nodeType !== Node.ELEMENT_NODE) continue;
    else if (node.matches(ANNOUNCED)) yield* [null, { ...announce(node, codeIn), isOfPage: true }, null];
    else if (node.matches("br")) yield { words: " ", node };
    else if (node.matches("math")) yield { words: node.querySelector("annotation")?.textContent ?? node.textContent, node };
    else if (node.matches(".todo")) yield { words: `${node.ariaLabel}: `, node };
    else {
      const isParagraph = node.matches(PARAGRAPHS);
      if (isParagraph) yield null;
      yield* walk(node, codeIn);
      if (isParagraph) yield null;
    }
  }
}

function* splitSentences(text, language) {
  const found = Intl.Segmenter
    ? [...new Intl.Segmenter(language, { granularity: "sentence" }).segment(text)].map((each) => each.segment)
    : (text.match(/[^.!?…]+[.!?…]*\s*|[.!?…]+/g) ?? []);
  for (let sentence of found) {
    while (sentence.length > MOST_CHARS) {
      const at = sentence.lastIndexOf(" ", MOST_CHARS) + 1 || MOST_CHARS;
      yield sentence.slice(0, at);
      sentence = sentence.slice(at);
    }
    yield sentence;
  }
}

// From one place in the words of a paragraph to another one, as a range of the page.
function rangeOf(pieces, start, end) {
  const range = document.createRange();
  let offset = 0;
  for (const { words, node } of pieces) {
    const isText = node.nodeType === Node.TEXT_NODE;
    const stop = offset + words.length;
    if (start >= offset && start < stop) isText ? range.setStart(node, start - offset) : range.setStartBefore(node);
    if (end > offset && end <= stop) isText ? range.setEnd(node, end - offset) : range.setEndAfter(node);
    offset = stop;
  }
  return range;
}

function* readParagraph(pieces) {
  const text = pieces.map(({ words }) => words).join("");
  const [{ node, isOfPage }] = pieces;
  const language = isOfPage ? document.documentElement.lang : (node.closest ? node : node.parentElement).closest("[lang]").lang;
  let offset = 0;
  for (const sentence of splitSentences(text, language)) {
    const start = offset + sentence.search(/\S|$/);
    const words = sentence.trim().replace(/\s+/g, " ");
    if (/[\p{L}\p{N}]/u.test(words)) yield { words, language, isOfPage, range: rangeOf(pieces, start, start + sentence.trim().length) };
    offset += sentence.length;
  }
}

export function* readSentences(prose, codeIn) {
  let pieces = [];
  for (const piece of walk(prose, codeIn)) {
    if (piece) pieces.push(piece);
    else if (pieces.length) {
      yield* readParagraph(pieces);
      pieces = [];
    }
  }
  if (pieces.length) yield* readParagraph(pieces);
}
