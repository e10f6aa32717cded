import type { Case } from "../case.js";
import { callCases } from "./calls.js";
import { errorCases } from "./errors.js";
import { fileCases } from "./files.js";
import { podCases } from "./pods.js";
import { processCases } from "./process.js";
import { resultCases } from "./results.js";

export const allCases: readonly Case[] = [
  ...processCases,
  ...fileCases,
  ...errorCases,
  ...resultCases,
  ...callCases,
  ...podCases,
];
