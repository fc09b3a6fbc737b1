// The colours of the API reference follow the choice made on the pages, else the system.
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  const chosen = localStorage.getItem("theme");
  document.documentElement.classList.toggle("dark-mode", chosen ? chosen === "dark" : dark.matches);
}
dark.addEventListener("change", paint);
paint();
