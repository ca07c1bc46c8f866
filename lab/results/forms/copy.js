// A button on every command that copies it.
{
  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  const copy = async (code, button) => {
    let word = "Copied";
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {  // no clipboard for this page: a page served without TLS, or a browser that forbids it
      select(code);
      word = document.execCommand("copy") ? "Copied" : "Selected";
    }
    button.textContent = word;
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  for (const place of document.querySelectorAll(".command")) {
    const code = place.querySelector("code");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", () => copy(code, button));
    place.append(button);
  }
}
