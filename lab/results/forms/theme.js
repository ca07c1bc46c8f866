// A button that turns the page from light to dark and back. Without it the page follows the reader's system.
{
  const root = document.documentElement;
  const button = document.createElement("button");
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (systemIsDark.matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? "Light page" : "Dark page"; };

  button.type = "button";
  button.className = "theme";
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  systemIsDark.addEventListener("change", name);
  name();
  document.querySelector(".tools").append(button);
}
