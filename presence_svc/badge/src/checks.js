/** Two questions that several parts ask. */

export const isHidden = () => globalThis.document?.visibilityState === "hidden";

/** The only addresses that a picture is ever fetched from. @param {string | null | undefined} url */
export const isHttps = (url) => /^https:\/\/\S+$/i.test(url ?? "") && URL.canParse(url ?? "");
