/** The words of a page, in the language of whoever reads it. */

import { chosen } from "./address.js";

const LOCALES = { en: "en-GB", zh: "zh-CN" };

/**
 * Return which of the languages that a page speaks is wanted: the one in its address, then those of the browser in
 * their order, then the page's first.
 */
export function preferred(spoken, wanted = [chosen("language"), ...navigator.languages]) {
  const tags = wanted.map((tag) => (tag ?? "").slice(0, 2).toLowerCase());
  return tags.find((tag) => spoken.includes(tag)) ?? spoken[0];
}

/** The words of one language. texts: {language: {key: text}}, the same keys in each. */
export class Words {
  constructor(texts, language) {
    this.language = language;
    this.locale = LOCALES[language];
    this.texts = texts[language];
    this.plural = new Intl.PluralRules(this.locale);
  }

  has(key) {
    return key in this.texts;
  }

  /** Return a text with `{name}` filled in; with a `count`, in the plural that goes with it. */
  get(key, values = {}) {
    const text = this.texts[key] ?? this.texts[`${key}_${this.plural.select(values.count)}`] ?? this.texts[`${key}_other`];
    return text.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      return typeof value === "number" ? this.number(value) : value;
    });
  }

  number(value) {
    return value.toLocaleString(this.locale);
  }

  /** Say what stands in the document itself: its language and title, and each `data-text`. */
  dress() {
    document.documentElement.lang = this.locale;
    document.title = this.get("title");
    for (const node of document.querySelectorAll("[data-text]")) {
      node.textContent = this.get(node.dataset.text);
    }
  }
}
