/** A store whose next records meet a full disk; later ones are written. */
export function refuseRecords(store: { update: (...given: never[]) => Promise<void> }, records = 2): void {
  const update = store.update.bind(store);
  let refused = 0;
  store.update = async (...given) => {
    refused += 1;
    if (refused <= records) throw new Error("ENOSPC: no space left on device");
    await update(...given);
  };
}
