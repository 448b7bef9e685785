// What the page asks of the desk. Addresses are relative, so the token in the page's own goes with each.

const KEPT = 48; // decoded pictures
const pictures = new Map();

async function asked(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the desk does not answer; start geomtrs audit again and load its address");
  }
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer;
}

export const items = async () => (await asked("items")).json();

const sent = async (path, document) =>
  (await asked(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) })).json();

export const decide = (decision) => sent("decide", decision);
export const undo = () => sent("undo", {});

export async function keepMask(item, png) {
  return (await (await asked(`mask/${item.id}`, { method: "PUT", body: png })).json()).mask;
}

async function bitmap(path) {
  return createImageBitmap(await (await asked(path)).blob());
}

// One date of an item, fetched once for all items with the same pictures.
export function picture(item, side) {
  const key = `${item.pictures}/${side}`;
  const found = pictures.get(key) ?? bitmap(`picture/${item.id}/${side}`);
  pictures.delete(key);
  pictures.set(key, found);
  found.catch(() => pictures.delete(key));
  if (pictures.size > KEPT) pictures.delete(pictures.keys().next().value);
  return found;
}

export const mask = (item) =>
  bitmap(`mask/${item.id}` + (item.said?.mask ? `?name=${item.said.mask}` : ""));

export function prefetch(some) {
  for (const item of some) for (const side of ["before", "after"]) picture(item, side).catch(() => {});
}
