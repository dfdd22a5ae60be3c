const KIBI = 1024;

/**
 * A size as Docker reads it: bytes, or with a suffix b, k, m, g, t or p (also kb, kib and so on; upper case, too)
 * those units of 1024; decimals and one space before the suffix are allowed. Exponents and hexadecimal digits are
 * not.
 * @returns bytes, from 0; undefined for what is no size, or more than a number can hold exactly
 */
export function parseSize(text: string): number | undefined {
  const [, digits, suffix = ""] = /^(\d+\.?\d*|\.\d+) ?(b|[kmgtp](?:i?b)?)?$/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const unit = suffix === "" ? 1 : KIBI ** "bkmgtp".indexOf(suffix.charAt(0).toLowerCase());
  const bytes = Math.trunc(Number(digits) * unit);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
