/** Files and folders dropped anywhere on the page. */

/** @param hint shown while something is dragged over the page */
export function startDrop(hint: HTMLElement, onFiles: (name: string, files: ReadonlyMap<string, Blob>) => void): void {
  const carriesFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    hint.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) hint.hidden = true;
  });
  addEventListener("drop", async (event) => {
    hint.hidden = true;
    const { dataTransfer } = event;
    if (!dataTransfer || !carriesFiles(event)) return;
    event.preventDefault();
    // both are gone once this event is over
    const entries = Array.from(dataTransfer.items, (item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    const plain = [...dataTransfer.files];
    const [first] = entries;
    const files = new Map<string, Blob>();
    if (entries.length === 1 && first?.isDirectory) await collect(first, "", files);
    else for (const entry of entries) await collect(entry, entry.name, files);
    if (entries.length === 0) for (const file of plain) files.set(file.name, file);
    onFiles(first?.name ?? plain[0]?.name ?? "what was dropped", files);
  });
}

async function collect(entry: FileSystemEntry, path: string, files: Map<string, Blob>): Promise<void> {
  if (isFile(entry)) {
    files.set(path, await new Promise<File>((done, fail) => entry.file(done, fail)));
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // a hundred at a time in some browsers, until none are left
    const some = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (some.length === 0) return;
    for (const child of some) await collect(child, path === "" ? child.name : `${path}/${child.name}`, files);
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}
