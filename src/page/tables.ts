/** Numbers as HTML tables that need no script. */

export interface TableColumn<T> {
  readonly name: string;
  /** Text reads from the left, numbers from the right. */
  readonly text?: true;
  cell(row: T, index: number): string;
}

export function table<T>(rows: readonly T[], columns: readonly TableColumn<NoInfer<T>>[]): string {
  const side = ({ text }: TableColumn<T>): string => (text ? ' class="text"' : "");
  const head = columns.map((column) => `<th scope="col"${side(column)}>${escapeHtml(column.name)}</th>`);
  const body = rows.map((row, index) => {
    const cells = columns.map((column) => `<td${side(column)}>${escapeHtml(column.cell(row, index))}</td>`);
    return `<tr>${cells.join("")}</tr>`;
  });
  return `<div class="table" tabindex="0" role="region" aria-label="table of numbers"><table>
<thead><tr>${head.join("")}</tr></thead>
<tbody>
${body.join("\n")}
</tbody></table></div>`;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
