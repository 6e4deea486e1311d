export const name = "schema_pack";
