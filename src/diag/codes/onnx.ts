/** Codes of reading, checking and writing ONNX files. */
import type { CodeTable } from '../codes.ts';

export const ONNX_CODES: CodeTable = {
  'onnx/attribute': {
    title: 'an attribute is missing or of the wrong kind',
    why: 'The node has an attribute that the definition of its op does not allow, or lacks one that it needs.',
    fix: 'Check the node with onnx.checker.check_model, and export the model again.',
  },
  'onnx/cycle': {
    title: 'a node depends on its own output',
    why: 'The nodes of the graph cannot be put in an order in which every value is computed before it is read.',
    fix: 'The file was edited by hand or by a faulty tool: export it again.',
  },
  'onnx/dangling': {
    title: 'a value is read but never defined',
    why: 'A node reads a name that is no input, initializer or output of another node in its scope.',
    fix: 'Check the model with onnx.checker.check_model; a tool has removed a node too many.',
  },
  'onnx/dtype': {
    title: 'an element type is not supported',
    why: 'The tensor holds elements (complex numbers, or a type newer than wafc) that no op of wafc computes with.',
    fix: 'Cast the tensor to a supported type before export.',
  },
  'onnx/duplicate-value': {
    title: 'a value is defined twice',
    why: 'ONNX names every value once per graph; with two definitions it is not said which one a node reads.',
    fix: 'Check the model with onnx.checker.check_model, and export it again.',
  },
  'onnx/external-missing': {
    title: 'a file of weights is not beside the model',
    why: 'Large models keep weights in other files, named relative to the .onnx file; one of them is not there.',
    fix: 'Put the named file into the folder of the model (they must be downloaded together).',
  },
  'onnx/external-path': {
    title: 'external data points outside the folder of the model',
    why: 'A model must not read other files of this machine, so only relative paths inside its folder are followed.',
    fix: 'Move the data file beside the model, and save the model with that location.',
  },
  'onnx/external-range': {
    title: 'external data does not fit the tensor',
    why: 'The model says which bytes of the data file a tensor is; they are too few, or lie beyond the end of the file.',
    fix: 'The data file belongs to another version of the model, or was cut short: download both again.',
  },
  'onnx/function-call': {
    title: 'a call does not fit the function of the model',
    why: 'The node calls a function that the model defines, with more inputs or outputs than the function has.',
    fix: 'Check the model with onnx.checker.check_model, and export it again.',
  },
  'onnx/input-type': {
    title: 'a graph input is not a tensor of known rank',
    why: 'wafc places tensors on cores; sequences, maps and tensors of unknown rank have no fixed place.',
    fix: 'Export with shape information (dynamic_axes may name dims, but their number must be known).',
  },
  'onnx/ir-version': {
    title: 'the ONNX IR version is not read',
    why: 'The file format of this version is older or newer than what wafc knows.',
    fix: 'Convert the model with a current onnx package, or update wafc.',
  },
  'onnx/malformed': {
    title: 'the file is not well-formed protobuf',
    why: 'The bytes at the place named are not what the ONNX format has there. The file is damaged or of another kind.',
    fix: 'Download or export the model again; a Git LFS pointer in its place is a common cause.',
  },
  'onnx/no-file': {
    title: 'a file cannot be opened',
    why: 'The system refuses to open or read the path, for the reason given.',
    fix: 'Check the path and its permissions.',
  },
  'onnx/no-opset': {
    title: 'the model does not say which version of a domain it uses',
    why: 'Ops change from version to version; without an import of their domain it is not known what they compute.',
    fix: 'Add the domain to opset_import, with the version the model was exported for.',
  },
  'onnx/no-output': {
    title: 'the graph has no outputs',
    why: 'Only what outputs depend on is computed, so nothing would be.',
    fix: 'Name the outputs at export; a graph cut out of a larger one needs new ones.',
  },
  'onnx/not-a-model': {
    title: 'the file is not an ONNX model',
    why: 'It reads as protobuf, but has no graph or no IR version.',
    fix: 'Give the .onnx file of the model itself, not a tensor (.pb) or a training checkpoint.',
  },
  'onnx/not-a-tensor': {
    title: 'the file holds something else than a tensor',
    why: 'A single TensorProto was expected; the file holds a sequence or an optional.',
    fix: 'Store the value as a TensorProto, or give the inputs as an .npz file.',
  },
  'onnx/output-shape': {
    title: 'an output is not of the declared shape',
    why: 'The model declares a shape that its own ops do not give. The computed one is used.',
    fix: 'Nothing, if the computed shape is right; else look at the shape operands of the nodes before the output.',
  },
  'onnx/recursive-function': {
    title: 'a model function calls itself',
    why: 'Functions are replaced by their bodies; one that calls itself has no end, and ONNX forbids it.',
    fix: 'Export the model again without the function.',
  },
  'onnx/short-file': {
    title: 'a file ends too early',
    why: 'Bytes that the model refers to lie beyond the end of a file.',
    fix: 'The file was cut short: download it again and compare its size or checksum.',
  },
  'onnx/sparse': {
    title: 'a sparse tensor cannot be made dense',
    why: 'Sparse initializers are read as dense tensors; its indices do not fit, or the dense form is too large.',
    fix: 'Store the tensor densely, as raw or external data.',
  },
  'onnx/tensor-data': {
    title: 'the contents of a tensor disagree with its type',
    why: 'The tensor has more, fewer or other elements than its shape and element type say.',
    fix: 'Check the model with onnx.checker.check_model, and export it again.',
  },
  'onnx/tensor-shape': {
    title: 'a tensor has an impossible shape',
    why: 'A dim is negative, or the product of the dims is beyond what any file can hold.',
    fix: 'Check the model with onnx.checker.check_model, and export it again.',
  },
  'onnx/too-deep': {
    title: 'the file is nested too deeply',
    why: 'Graphs within graphs go deeper than any exporter writes; the limit protects against crafted files.',
    fix: 'Flatten nested control flow before export.',
  },
  'onnx/too-large': {
    title: 'the structure of the file is too large',
    why: 'Weights are read lazily and may be of any size, but nodes, names and typed fields must fit in memory.',
    fix: 'Store weights as raw or external data (onnx.save with save_as_external_data).',
  },
  'onnx/type-mismatch': {
    title: 'an op is given a type or shape it does not take',
    why: 'Shape inference found operands that the definition of the op does not allow together.',
    fix: 'Compare with onnx.shape_inference.infer_shapes(strict_mode=True); a wrong --bind can be the cause, too.',
  },
  'onnx/unsupported-op': {
    title: 'wafc has no such op',
    why: 'The model uses an op, or a version of it, that the registry of wafc does not define.',
    fix: 'Export to plain ONNX ops (opset 13 or later), or add the op: CONTRIBUTING.md says how.',
  },
  'onnx/write': {
    title: 'the model cannot be written',
    why: 'The compressed model does not fit the ONNX format, or the disk refused it.',
    fix: 'See the reason given: free space, or let weights go to external data.',
  },
};
