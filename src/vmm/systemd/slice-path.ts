import { RuntimeError } from "../../base/errors.js";

/** Of Boxes whose pod names no parent. A name without a dash: it has no slice above it. */
export const ownSlice = "a3s.slice";
/** Of Boxes that have no pod yet; below the other. */
export const poolSlice = "a3s-pool.slice";

/** systemd.slice(5): what stands between dashes names the slices above; letters that systemd would escape are none. */
const sliceName = /^[a-zA-Z0-9:_.\\]+(?:-[a-zA-Z0-9:_.\\]+)*\.slice$/;
/** systemd.unit(5). */
const longestName = 255;

/** The slice that a pod's cgroup_parent names: by its name, or by its whole path, as kubelet does. */
export function sliceOf(cgroupParent: string): string {
  if (cgroupParent === "") return ownSlice;
  const name = cgroupParent.slice(cgroupParent.lastIndexOf("/") + 1);
  if (name.length > longestName || !sliceName.test(name)) {
    throw new RuntimeError(
      "invalidArgument",
      `cgroup parent ${JSON.stringify(cgroupParent.slice(0, 80))} is no slice`,
      {
        hint: 'under cgroup.driver = "systemd" it must be one ("kubepods-pod1.slice"): kubelet\'s cgroupDriver must be systemd too',
      },
    );
  }
  if (cgroupParent.includes("/") && slicePath(name) !== `/${cgroupParent.replace(/^\//, "")}`) {
    throw new RuntimeError(
      "invalidArgument",
      `cgroup parent ${JSON.stringify(cgroupParent.slice(0, 80))} is not where systemd has ${name}`,
      {
        hint: `it is ${slicePath(name)}`,
      },
    );
  }
  return name;
}

/** "a-b.slice" is in "/a.slice/a-b.slice". */
export function slicePath(name: string): string {
  const parts = name.slice(0, -".slice".length).split("-");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}
