/** setTimeout() takes no more milliseconds: above, it fires at once. Waits that are longer end after these 24 days. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;
