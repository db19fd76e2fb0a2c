const links = new Map([...document.querySelectorAll("#contents a")].map(link => [link.hash.slice(1), link]));
function mark(current) {
  for (const link of links.values()) link.removeAttribute("aria-current");
  links.get(current)?.setAttribute("aria-current", "location");
}
const sections = [...document.querySelectorAll("main section")];
function follow() {
  const passed = sections.filter(section => section.getBoundingClientRect().top < innerHeight / 3);
  mark((passed.at(-1) ?? sections[0])?.id);
}
addEventListener("scroll", follow, {passive: true});
switches($("switches"), follow);
