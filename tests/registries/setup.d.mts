export function setUpMlflowPython(major?: 2 | 3): string;
