export const parity = 2;
