export const parity = 1;
