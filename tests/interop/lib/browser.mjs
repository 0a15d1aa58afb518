// A browser as far as a sign-in needs one: cookies, redirects, forms.

const MAX_PAGES = 20;

export class Browser {
  #cookies = [];

  /**
   * Opens `url`, follows redirects, and submits each form it meets with what `fill` gives for the names of the form's fields.
   * Returns the first address that begins with `target`, without opening it.
   */
  async goTo(url, { target, fill }) {
    let next = { url: new URL(url) };
    for (let page = 0; page < MAX_PAGES; page += 1) {
      if (next.url.href.startsWith(target)) return next.url;
      const answer = await this.#send(next);
      next = redirect(answer, next.url) ?? submission(await answer.text(), next.url, fill);
    }
    throw new Error(`${MAX_PAGES} pages did not lead from ${url} to ${target}`);
  }

  /** Opens one address and follows nothing: the answer. */
  open(url) {
    return this.#send({ url: new URL(url) });
  }

  /** Submits the form of `page`, which was met at `base`, with `fill`, and follows nothing: the answer. */
  submit(page, base, fill) {
    return this.#send(submission(page, new URL(base), fill));
  }

  async #send({ url, form, origin }) {
    const headers = { accept: "text/html,*/*;q=0.8", cookie: this.#cookiesFor(url) };
    const answer = await fetch(url, {
      method: form ? "POST" : "GET",
      body: form,
      // What browsers send with a form.
      headers: origin ? { ...headers, origin } : headers,
      redirect: "manual",
    });
    answer.headers.getSetCookie().forEach((line) => this.#keep(line, url));
    return answer;
  }

  #cookiesFor(url) {
    const fits = this.#cookies.filter(({ host, path }) => host === url.host && under(url.pathname, path));
    return fits.map(({ name, value }) => `${name}=${value}`).join("; ");
  }

  #keep(line, url) {
    const [pair, ...attributes] = line.split(";").map((part) => part.trim());
    const [name, value] = splitOnce(pair, "=");
    const attribute = new Map(attributes.map((text) => splitOnce(text, "=")).map(([key, v]) => [key.toLowerCase(), v]));
    const cookie = { host: url.host, path: attribute.get("path") ?? "/", name, value };
    const same = (other) => ["host", "path", "name"].every((key) => other[key] === cookie[key]);
    this.#cookies = this.#cookies.filter((other) => !same(other));
    if (!(Date.parse(attribute.get("expires")) <= Date.now())) this.#cookies.push(cookie);
  }
}

// RFC 6265 section 5.1.4.
function under(path, prefix) {
  return path === prefix || path.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`);
}

function redirect(answer, base) {
  const location = answer.headers.get("location");
  return location && { url: new URL(location, base) };
}

function submission(page, base, fill) {
  const markup = page.match(/<form[^>]*>[\s\S]*?<\/form>/)?.[0];
  if (!markup) throw new Error(`${base.pathname} has no form:\n${page.slice(0, 2000)}`);
  const inputs = [...markup.matchAll(/<(?:input|button)[^>]*>/g)].map(([tag]) => tag).filter((tag) => attribute(tag, "name"));
  const fields = inputs.map((tag) => {
    const name = attribute(tag, "name");
    return [name, fill[name] ?? attribute(tag, "value") ?? ""];
  });
  // Two buttons of one name are one field.
  const form = new URLSearchParams(Object.fromEntries(fields));
  return { url: new URL(attribute(markup, "action"), base), form, origin: base.origin };
}

function attribute(tag, name) {
  return tag.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1];
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
