// Package train trains the models of trefoil/layers on the tokens of
// trefoil/data, as a trefoil/config.Config says, and keeps everything that it
// finds out in a run folder:
//
//	config.yaml                   the resolved configuration
//	tokenizer.json
//	evaluation.safetensors        the fixed windows of tokens for evaluation and calibration
//	metrics.jsonl                 an object a line, see [Record]
//	curves.png, curves.svg        redrawn at each evaluation
//	checkpoints/last.safetensors  parameters, the optimizer's state, and where the run stands
//	checkpoints/best.safetensors  parameters of the lowest held-out loss, fully quantized
//	sample.txt                    text by the trained model
//
// [trefoil/export.Folder] has the paths of what an export reads. [Run] does
// all of it. [Fit] is its loop for any [Task], such as the [ImageTask] of a
// network that classifies images: the same schedules, phases, optimizers,
// checkpoints, metrics and curves. A run that was stopped, by a signal or a
// crash, continues from its last checkpoint and ends with the same bits as one
// that was never stopped; it needs the same text or images. While a run is at
// work its folder is locked against other processes, where the system can.
package train
