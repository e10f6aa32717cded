import { FileServiceService, type WriteFileRequest } from "../../gen/sandboxes/v1/files.js";
import { dataMessage } from "../../grpc/data-message.js";

/** WriteFileRequest.data. */
const dataField = 2;
const { writeFile: generated } = FileServiceService;

/** `FileService.WriteFile`, for files of any size. */
export const writeFile = {
  ...generated,
  requestSerialize: (request: WriteFileRequest): Buffer =>
    request.data === undefined ? generated.requestSerialize(request) : dataMessage(dataField, request.data),
};
