/** Asks for the admin token, and says what is the matter where a token would not help. */
import { element, panel } from "./elements.ts";

/** `code` and `detail` are the port's refusal. */
export function signIn(code: string, detail: string, use: (token: string) => void): HTMLElement {
  if (code === "not-allowed") {
    return panel("The records API is closed here", element("p", { class: "notice" }, detail));
  }
  const field = element("input", {
    id: "token",
    type: "password",
    class: "mono",
    autocomplete: "off",
    required: true,
  });
  const submit = (event: Event): void => {
    event.preventDefault();
    const token = field.value.trim();
    // What no header can carry is no token, and fetch would throw.
    if (/^[\x21-\x7e]+$/.test(token)) use(token);
    else fault.textContent = "A token consists of visible ASCII characters.";
  };
  const wrong = code === "token-invalid" ? "This is not the gateway's admin token." : "";
  const fault = element("p", { class: "fault", role: "alert" }, wrong);
  const warned = location.protocol === "http:" && !isLoopback(location.hostname);
  return panel(
    "Sign in",
    element(
      "form",
      { submit, class: "sign-in" },
      element("label", { for: "token" }, "Admin token"),
      field,
      fault,
      element(
        "p",
        { class: "faint" },
        "The value of admin.token. It is kept in this tab until it is closed, and sent to this gateway alone.",
      ),
      warned
        ? element(
            "p",
            { class: "problem" },
            "This connection is not encrypted: whoever listens sees the token.",
          )
        : undefined,
      element("button", { type: "submit", class: "primary" }, "Sign in"),
    ),
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host.startsWith("127.");
}
