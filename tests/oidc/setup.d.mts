export function setUpKeycloak(): string;
