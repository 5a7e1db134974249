/** Answer: the words of a passage that answer a question. */

import { type Answer, answerQuestions } from "bert-webgpu";
import type { App, Panel } from "../app.ts";
import { element } from "../dom.ts";
import { percentage, rankedList } from "./ranked.ts";
import { exampleButton, field, taskPanel } from "./task.ts";

const EXAMPLES = [
  {
    passage:
      "The Analytical Engine was a mechanical general-purpose computer designed by Charles Babbage. It was first described in 1837 as the successor to his Difference Engine. Ada Lovelace translated an article about it and added notes of her own, in which she described how it could compute Bernoulli numbers.",
    question: "Who designed the Analytical Engine?",
  },
  {
    passage:
      "The Rhine rises in the Swiss Alps and flows for about 1,230 kilometres to the North Sea. Its largest tributary is the Moselle, which joins it at Koblenz. Ships reach Basel from Rotterdam in four to five days.",
    question: "How long is the Rhine?",
  },
];

/** The best one and three alternatives. */
const SHOWN = 4;

export const answerPanel: Panel = (root: HTMLElement, app: App): void => {
  const passage = element("textarea", { id: "answer-passage", rows: 6 });
  const question = element("input", { id: "answer-question", type: "text" });
  const example = exampleButton(EXAMPLES, (chosen) => {
    passage.value = chosen.passage;
    question.value = chosen.question;
  });

  taskPanel<Answer[]>(root, app, {
    title: "Answer",
    lead: "The model points at the part of the passage that answers the question; it adds no words of its own.",
    fields: [field("Passage", passage), field("Question", question), element("div", { class: "row tight" }, example)],
    needs: "a head for the start and end of answers",
    supports: ({ model }) => model.has("spanLogits"),
    suggestions: [
      "deepset/bert-base-cased-squad2",
      "google-bert/bert-large-uncased-whole-word-masking-finetuned-squad",
    ],
    lacks: () =>
      passage.value.trim() === "" || question.value.trim() === "" ? "Write a passage and a question." : undefined,
    async run({ bert }, options) {
      const input = { question: question.value, context: passage.value };
      const [answers] = await answerQuestions(bert, [input], { ...options, topK: SHOWN });
      return answers!.filter(({ answer }) => answer !== "");
    },
    show(answers, output) {
      const [best, ...others] = answers;
      if (!best) {
        output.replaceChildren(element("p", {}, "The model finds no answer in this passage."));
        return "No answer";
      }
      const context = passage.value;
      const place = element("p", { class: "passage" });
      const point = (answer: Answer): void => place.replaceChildren(...marked(context, answer));
      point(best);
      const { answer, score, start, end } = best;
      const data = { "data-answer": answer, "data-score": score, "data-start": start, "data-end": end };
      const head = element("div", data, element("p", { class: "answer" }, answer));
      head.append(element("p", { class: "muted small" }, `probability ${percentage(score)}`));
      output.replaceChildren(head, place);
      if (others.length > 0) output.append(alternatives(answers, point));
      return `${answer}, ${percentage(score)}`;
    },
  });
};

function marked(context: string, { start, end, score }: Answer): (Node | string)[] {
  const mark = element("mark", { "data-score": score, title: percentage(score) }, context.slice(start, end));
  return [context.slice(0, start), mark, context.slice(end)];
}

function alternatives(answers: readonly Answer[], point: (answer: Answer) => void): HTMLElement {
  const items = answers.map(({ answer: name, score }) => ({ name, score }));
  const list = rankedList(items, { wide: true, verb: "Show", onChoose: (i) => point(answers[i]!) });
  return element("section", { class: "field-group", id: "answer-list" }, element("h3", {}, "Its best answers"), list);
}
