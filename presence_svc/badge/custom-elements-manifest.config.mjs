// Without this the analyzer writes the folder of its last run into package.json.
export default { packagejson: false };
