/** Those that make a microVM. */
export type MachineDriver = "krun" | "qemu";
export type DriverName = MachineDriver | "native";
