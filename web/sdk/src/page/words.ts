/** Which of an operator's texts a person reads. */

/** The words in the first language that there are words for: `pt-BR`, then `pt`, then the next. */
export function pick<T>(
  words: Record<string, T>,
  languages: readonly string[],
): [language: string, words: T] | undefined {
  const known = new Map(Object.keys(words).map((tag) => [tag.toLowerCase(), tag]));
  for (const language of languages) {
    const parts = language.toLowerCase().split("-");
    for (; parts.length; parts.pop()) {
      const tag = known.get(parts.join("-"));
      if (tag) return [tag, words[tag]!];
    }
  }
  return Object.entries(words)[0];
}

/** When the question may come again after the `times`-th "not now"; the last pause repeats. */
export const pause = (times: number, days: readonly number[], now: number): number =>
  now + (days[Math.min(times, days.length) - 1] ?? 0) * 86_400_000;
