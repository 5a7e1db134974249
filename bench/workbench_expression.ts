/** Sums over named numbers, as an author writes them in a comment: `ceil(n / 64), ceil(m / 64), 1`. Nothing is executed. */

type Names = Readonly<Record<string, number>>;

const FUNCTIONS: Readonly<Record<string, (values: readonly number[]) => number>> = {
  ceil: ([value]) => Math.ceil(value!),
  min: (values) => Math.min(...values),
  max: (values) => Math.max(...values),
};

interface Token {
  readonly text: string;
  /** Place of its first character, from 1. */
  readonly at: number;
}

/**
 * The values of one or more expressions with commas between them: numbers, names, + - * / %, parentheses, ceil, min and
 * max. A division is exact: `7 / 2` is 3.5.
 * @throws RangeError that names the place, for what is no expression, an unknown name or a division by zero
 */
export function evaluateList(text: string, names: Names): number[] {
  const tokens = tokensOf(text);
  let next = 0;

  const fail = (what: string, at = tokens[next]?.at ?? text.length + 1): never => {
    throw new RangeError(`"${text}", character ${at}: ${what}`);
  };
  const accept = (...choices: readonly string[]): Token | undefined => {
    const token = tokens[next];
    if (token === undefined || !choices.includes(token.text)) return undefined;
    next++;
    return token;
  };
  const expect = (symbol: string): void => {
    if (!accept(symbol)) fail(`"${symbol}" is wanted here, not ${described(tokens[next])}`);
  };

  const list = (): number[] => {
    const values = [sum()];
    while (accept(",")) values.push(sum());
    return values;
  };
  const sum = (): number => {
    let value = product();
    for (let sign = accept("+", "-"); sign; sign = accept("+", "-")) {
      value = sign.text === "+" ? value + product() : value - product();
    }
    return value;
  };
  const product = (): number => {
    let value = factor();
    for (let sign = accept("*", "/", "%"); sign; sign = accept("*", "/", "%")) {
      const by = factor();
      if (sign.text === "*") value *= by;
      else if (by === 0) fail("division by zero", sign.at);
      else value = sign.text === "/" ? value / by : value % by;
    }
    return value;
  };
  const factor = (): number => {
    if (accept("-")) return -factor();
    if (accept("(")) {
      const value = sum();
      expect(")");
      return value;
    }
    const token = tokens[next];
    if (token === undefined || !/^[\w.]/.test(token.text)) return fail(`a value is wanted, not ${described(token)}`);
    next++;
    if (/^[\d.]/.test(token.text)) return numberOf(token);
    return tokens[next]?.text === "(" ? call(token) : named(token);
  };
  const numberOf = ({ text: digits, at }: Token): number => {
    const value = Number(digits.replace(/[uif]$/, ""));
    return Number.isNaN(value) ? fail(`${digits} is no number`, at) : value;
  };
  const named = ({ text: name, at }: Token): number => {
    if (Object.hasOwn(names, name)) return names[name]!;
    return fail(`nothing is named ${name}; there are ${Object.keys(names).join(", ") || "no names"}`, at);
  };
  const call = ({ text: name, at }: Token): number => {
    const known = Object.hasOwn(FUNCTIONS, name);
    if (!known) fail(`no function is named ${name}; there are ${Object.keys(FUNCTIONS).join(", ")}`, at);
    expect("(");
    const values = list();
    expect(")");
    if (name === "ceil" && values.length !== 1) fail(`ceil takes one value, not ${values.length}`, at);
    return FUNCTIONS[name]!(values);
  };

  const values = list();
  if (next < tokens.length) fail(`an operator is wanted, not ${described(tokens[next])}`);
  return values;
}

function tokensOf(text: string): Token[] {
  return [...text.matchAll(/[\d.]+(?:e[+-]?\d+)?[uif]?|[A-Za-z_]\w*|\S/g)].map(([match], i, all) => ({
    text: match,
    at: all[i]!.index + 1,
  }));
}

function described(token: Token | undefined): string {
  return token === undefined ? "the end" : `"${token.text}"`;
}
