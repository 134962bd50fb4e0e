export { assertAvailable, type ProviderStatus, providerStatuses } from "./availability.js";
export { DeviceLanguageModel } from "./device-language-model.js";
