/* The theme. Runs in the head, before the first paint: a page that was rendered without a request (an error page),
   or before the theme changed in another tab, takes what the cookie says. */
{
  const YEAR = 365 * 24 * 3600; // seconds
  const root = document.documentElement;
  const kept = document.cookie.match(/(?:^|; )theme=(dark|light|system)(?:;|$)/);
  if (kept) root.dataset.theme = kept[1];

  document.addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-theme-set]");
    if (!pressed) return;
    const theme = pressed.dataset.themeSet;
    root.dataset.theme = theme;
    document.cookie = `theme=${theme}; path=/; max-age=${YEAR}; SameSite=Lax`;
    for (const button of document.querySelectorAll("[data-theme-set]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeSet === theme));
    }
  });
}
