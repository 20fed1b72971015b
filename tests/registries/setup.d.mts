export function setUpMlflowPython(): string;
