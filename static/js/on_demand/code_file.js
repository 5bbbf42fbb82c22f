// Code as a file, with the ending that programs know its language by.

const ENDINGS = {
  bash: "sh", batch: "bat", c: "c", console: "sh", cpp: "cpp", "c++": "cpp", csharp: "cs", "c#": "cs", css: "css", csv: "csv", dart: "dart",
  diff: "diff", docker: "dockerfile", elixir: "ex", erlang: "erl", fortran: "f90", go: "go", golang: "go", graphql: "graphql", haskell: "hs",
  html: "html", ini: "ini", java: "java", javascript: "js", js: "js", json: "json", jsx: "jsx", julia: "jl", kotlin: "kt", latex: "tex",
  less: "less", lua: "lua", make: "mk", makefile: "mk", markdown: "md", md: "md", matlab: "m", nix: "nix", objectivec: "m", ocaml: "ml",
  perl: "pl", php: "php", postgresql: "sql", powershell: "ps1", ps1: "ps1", protobuf: "proto", py: "py", py3: "py", python: "py", python3: "py",
  r: "r", rb: "rb", ruby: "rb", rs: "rs", rust: "rs", scala: "scala", scss: "scss", sh: "sh", shell: "sh", sql: "sql", sqlite: "sql", svg: "svg",
  swift: "swift", tex: "tex", toml: "toml", ts: "ts", tsx: "tsx", typescript: "ts", vue: "vue", xml: "xml", yaml: "yaml", yml: "yaml", zig: "zig", zsh: "sh",
};

// A name for a file: the first word that the code gives to something, where there is one.
const NAMED = /^\s*(?:export\s+|public\s+|async\s+)*(?:class|def|function|func|fn|interface|struct|module)\s+([A-Za-z_]\w{0,39})/m;

export function saveCode(button) {
  const code = button.closest("figure").querySelector("code");
  const language = code.className.replace("language-", "");
  const name = NAMED.exec(code.textContent)?.[1] ?? "code";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([code.textContent], { type: "text/plain" }));
  link.download = `${name}.${ENDINGS[language] ?? "txt"}`;
  link.click();
  // Some browsers begin to read it only after this.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
