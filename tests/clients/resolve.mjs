// Rocket.Chat's packages import folders, and files without their ending: bundlers allow it, Node.js does not.
const ENDINGS = ['', '.js', '/index.js'];

export async function resolve(specifier, context, next) {
  for (const ending of ENDINGS.slice(0, -1)) {
    try {
      return await next(specifier + ending, context);
    } catch (error) {
      if (!['ERR_MODULE_NOT_FOUND', 'ERR_UNSUPPORTED_DIR_IMPORT'].includes(error.code)) throw error;
    }
  }
  return next(specifier + ENDINGS.at(-1), context);
}
