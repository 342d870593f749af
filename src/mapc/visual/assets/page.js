// The whole page: its figures, the filter, the colours.

for (const figure of document.querySelectorAll("figure")) new Plot(figure);

const tools = document.querySelector(".tools");
tools.hidden = false;
const search = document.getElementById("filter");
const matches = document.getElementById("matches");
let titles = null;

function filter() {
  leave();
  titles ??= [...document.querySelectorAll(".marks")].flatMap((marks) =>
    [...marks.querySelectorAll(LOOK)].map((mark) => [mark, titleOf(mark).toLowerCase()])
  );
  const wanted = search.value.trim().toLowerCase();
  let count = 0;
  for (const [mark, title] of titles) {
    const found = title.includes(wanted);
    count += found;
    mark.classList.toggle("dim", !found);
  }
  matches.textContent = wanted
    ? `${grouped(count, 0)} of ${grouped(titles.length, 0)} marks match` : "";
}

let waiting = 0;
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(filter, titles && titles.length < 3000 ? 0 : 150);
});

const theme = document.getElementById("theme");
const asked = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (asked.matches ? "dark" : "light")) === "dark";
const named = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  named();
});
asked.addEventListener("change", named);
named();
