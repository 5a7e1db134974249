/** Sentences as film reviews have them, out of a grammar: the same on every machine, and no two alike. */

export type Sentiment = "positive" | "negative";

export interface Sentence {
  readonly text: string;
  readonly topic: string;
  readonly sentiment: Sentiment;
}

/** Of a topic: four subjects, and five things to say of them in praise and five in blame. */
type Topic = { readonly subjects: readonly string[] } & { readonly [S in Sentiment]: readonly string[] };

const TOPICS: Readonly<Record<string, Topic>> = {
  acting: {
    subjects: ["the lead actress", "the old detective", "the villain", "the boy who plays the son"],
    positive: [
      "is a joy to watch",
      "gives the performance of the year",
      "is tender and funny at once",
      "says more with a glance than others with a speech",
      "makes every scene believable",
    ],
    negative: [
      "is as stiff as a board",
      "shouts through every scene",
      "never seems to mean a word",
      "looks bored from beginning to end",
      "is badly miscast",
    ],
  },
  story: {
    subjects: ["the plot", "the love story", "the mystery", "the script"],
    positive: [
      "is clever and full of surprises",
      "unfolds with great care",
      "keeps you guessing until the last minute",
      "is simple, honest and moving",
      "never takes the easy way out",
    ],
    negative: [
      "makes no sense at all",
      "is a string of old clichés",
      "falls apart after half an hour",
      "is predictable and dull",
      "forgets its own characters",
    ],
  },
  music: {
    subjects: ["the score", "the music", "the closing song", "the soundtrack"],
    positive: [
      "is wonderful",
      "gives me goose bumps",
      "carries the quiet scenes beautifully",
      "stays with you for days",
      "fits the mood perfectly",
    ],
    negative: [
      "drowns out every word",
      "is loud and tasteless",
      "sounds like a bad commercial",
      "tells you clumsily what to feel",
      "soon gets on your nerves",
    ],
  },
  pictures: {
    subjects: ["the camera work", "the scenery", "the animation", "the old town by the sea"],
    positive: [
      "is breathtaking",
      "looks gorgeous in every light",
      "is a feast for the eyes",
      "has a beauty of its own",
      "makes the big screen worth it",
    ],
    negative: [
      "looks cheap and fake",
      "is so dark that you see nothing",
      "gave me a headache",
      "is ugly and lifeless",
      "might have come from a bad video game",
    ],
  },
  humour: {
    subjects: ["the humour", "the comedy", "the running joke about the dog", "the dialogue"],
    positive: [
      "is warm and witty",
      "had the whole room laughing",
      "is sharp and perfectly timed",
      "is delightfully silly",
      "works every single time",
    ],
    negative: [
      "is painfully unfunny",
      "falls flat every time",
      "is crude and lazy",
      "insults the audience",
      "was already stale ten years ago",
    ],
  },
  ending: {
    subjects: ["the ending", "the last act", "the final battle", "the big twist"],
    positive: [
      "is a triumph",
      "left me in happy tears",
      "is brave and deeply satisfying",
      "brings it all together brilliantly",
      "is one of the best in years",
    ],
    negative: [
      "is a terrible letdown",
      "comes out of nowhere and ruins everything",
      "drags on forever",
      "feels like an insult",
      "is a waste of a good idea",
    ],
  },
};

const OPENINGS = [
  "",
  "honestly, ",
  "to my surprise, ",
  "for a first feature, ",
  "on a second viewing, ",
  "in a full cinema, ",
  "after all the talk about it, ",
  "compared with the book, ",
  "as my sister said, ",
  "on a rainy evening, ",
] as const;

const CLOSINGS: Readonly<Record<Sentiment, readonly string[]>> = {
  positive: [
    "",
    ", and I loved it",
    ", and that alone is worth the ticket",
    ", and I would see it again tomorrow",
    ", and nobody in the room made a sound",
    ", which I did not expect at all",
    ", and the children loved it too",
    ", as good films should",
    ", and the two hours flew by",
    ", and I left with a smile",
  ],
  negative: [
    "",
    ", and I wanted my money back",
    ", and I looked at my watch more than once",
    ", and half of the room walked out",
    ", and not even the popcorn helped",
    ", which is a pity",
    ", and I nearly fell asleep",
    ", and nobody seemed to care",
    ", and two hours felt like four",
    ", and I cannot recommend it to anyone",
  ],
};

/** A step through all combinations that shares no divisor with their number, so that none comes twice. */
const STRIDE = 16_351;

/** Combinations there are: 24,000. */
const TOTAL = Object.keys(TOPICS).length * 2 * 4 * 5 * OPENINGS.length * CLOSINGS.positive.length;

/** @throws RangeError for more than there are */
export function makeSentences(count: number): Sentence[] {
  if (!Number.isInteger(count) || count < 1 || count > TOTAL) {
    throw new RangeError(`${count} sentences asked, there are 1 to ${TOTAL}`);
  }
  return Array.from({ length: count }, (_, i) => sentence((i * STRIDE) % TOTAL));
}

function sentence(combination: number): Sentence {
  let rest = combination;
  const pick = <T>(from: readonly T[]): T => {
    const chosen = from[rest % from.length]!;
    rest = Math.floor(rest / from.length);
    return chosen;
  };
  const [topic, { subjects, ...says }] = pick(Object.entries(TOPICS));
  const sentiment = pick(["positive", "negative"] as const);
  const text = `${pick(OPENINGS)}${pick(subjects)} ${pick(says[sentiment])}${pick(CLOSINGS[sentiment])}.`;
  return { text: text[0]!.toUpperCase() + text.slice(1), topic, sentiment };
}

/** `?sentences=500` of the page's address. */
export function countFrom(search: string, otherwise: number): number {
  const asked = new URLSearchParams(search).get("sentences");
  return asked === null ? otherwise : Number(asked);
}
