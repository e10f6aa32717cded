import tseslint from "typescript-eslint";

export default tseslint.config(
  {
    ignores: [
      ...["node_modules/", "dist/", "build/", "src/gen/", "guest/", "coverage/", "native-deps/"],
      ...["sdk/typescript/dist/", "sdk/typescript/src/gen/", "operator/dist/"],
    ],
  },
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "no-console": "error",
      "max-lines": ["error", { max: 300, skipBlankLines: true, skipComments: true }],
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
    },
  },
  {
    files: ["src/**/*.ts", "sdk/typescript/src/**/*.ts", "operator/src/**/*.ts"],
    rules: { "max-lines": ["error", 300], "max-lines-per-function": ["error", 60] },
  },
  {
    files: ["src/**/*.ts"],
    ignores: ["src/base/signals.ts"],
    rules: {
      "no-restricted-properties": [
        "error",
        { object: "AbortSignal", property: "any", message: "loses timeouts in Node 20: use anyOf of base/signals" },
      ],
    },
  },
  {
    files: ["src/cri/rpc/**/*.ts"],
    rules: {
      "max-lines": ["error", { max: 150, skipBlankLines: true, skipComments: true }],
      // An RPC that is not built yet throws, and one that answers from memory has nothing to await.
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/no-unused-vars": ["error", { args: "none" }],
    },
  },
  {
    files: ["test/**/*.ts", "bench/**/*.ts"],
    rules: { "@typescript-eslint/no-unused-expressions": "off", "max-lines": "off" },
  },
  {
    files: ["bench/**/*.ts", "scripts/**/*.ts", "test/support/**/*.ts", "sdk/typescript/examples/**/*.ts"],
    rules: { "no-console": "off" },
  },
);
