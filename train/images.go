package train

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	G "gorgonia.org/gorgonia"

	"trefoil/data"
	"trefoil/internal/atomicfile"
	"trefoil/layers"
	"trefoil/nn"
	"trefoil/schedule"
)

// ImageModel is a network that classifies images.
type ImageModel interface {
	layers.Model
	// Forward returns the logits [batch, classes] of images [batch, height,
	// width, channels].
	Forward(images *G.Node) (*G.Node, error)
	Parameters() []*layers.Parameter
}

// ImageTask trains a network to classify images. Layers of the model are
// quantized beforehand, by [layers.Swap]; of a plan's states the task takes
// lambda and noise.
type ImageTask struct {
	graph          *Graph
	layers         []*layers.Quantized
	train, heldout *data.Images
	sampler        *data.ImageSampler

	pixels  []float32 // [batch, height, width, channels] of the next run
	targets []int32   // [batch]
}

var _ Task = (*ImageTask)(nil)

// NewImageTask builds the graph of a model for batches of the given size, in
// an order of the images that the seed gives.
func NewImageTask(m ImageModel, train, heldout *data.Images, batch int, seed uint64) (*ImageTask, error) {
	if heldout.Len() == 0 {
		return nil, fmt.Errorf("no images are held out")
	}
	t := &ImageTask{layers: m.Quantizable(), train: train, heldout: heldout}
	var err error
	if t.sampler, err = data.NewImageSampler(train, seed); err != nil {
		return nil, err
	}
	g := m.Parameters()[0].Node.Graph()
	var images, targets *G.Node
	images, t.pixels = layers.NewImages(g, "images", batch, train.Height, train.Width, train.Channels)
	targets, t.targets = layers.NewIDs(g, "targets", batch)
	logits, err := m.Forward(images)
	if err != nil {
		return nil, err
	}
	var report nn.LossReport
	loss, err := nn.CrossEntropy(logits, targets, &report)
	if err != nil {
		return nil, err
	}
	t.graph, err = NewGraph(loss, &report, m.Parameters(), images, targets)
	return t, err
}

// Graph returns the loss of a batch.
func (t *ImageTask) Graph() *Graph { return t.graph }

// Examples returns the number of images of a batch.
func (t *ImageTask) Examples() int { return len(t.targets) }

// Next puts the next batch of training images into the graph.
func (t *ImageTask) Next() { t.sampler.Next(t.pixels, t.targets) }

// Layers names the layers that a plan sets, in the order of its states.
func (t *ImageTask) Layers() []string {
	var names []string
	for _, l := range t.layers {
		names = append(names, l.Weight.Name)
	}
	return names
}

// Quantize sets lambda and noise of every layer that has quantizers.
func (t *ImageTask) Quantize(states []schedule.State, step int) {
	for i, l := range t.layers {
		l.SetMoment(states[i].Lambda, states[i].Noise, step)
	}
}

// Evaluate classifies the held-out images.
func (t *ImageTask) Evaluate() (Evaluation, error) {
	report, size := t.graph.Report, t.heldout.Size()
	report.CountCorrect = true
	defer func() { report.CountCorrect = false }()
	sum, correct := 0.0, 0
	for first := 0; first < t.heldout.Len(); first += len(t.targets) {
		for b := range t.targets {
			t.targets[b] = -1 // the last batch is not full
			if i := first + b; i < t.heldout.Len() {
				t.targets[b] = t.heldout.Read(t.pixels[b*size:(b+1)*size], i)
			}
		}
		if err := t.graph.Evaluate(); err != nil {
			return Evaluation{}, err
		}
		sum += report.Sum
		correct += report.Correct
	}
	n := float64(t.heldout.Len())
	return Evaluation{Loss: sum / n, Accuracy: float64(correct) / n}, nil
}

// Position is where the order of the images stands.
func (t *ImageTask) Position() []byte { return t.sampler.State() }

// Seek goes to a position of the order of the images.
func (t *ImageTask) Seek(position []byte) error { return t.sampler.Restore(position) }

// fingerprint tells one set of images from another.
type fingerprint struct {
	Train, Heldout int    // images
	CRC            uint32 // CRC-32C of pixels and labels
}

func (t *ImageTask) fingerprint() fingerprint {
	f := fingerprint{Train: t.train.Len(), Heldout: t.heldout.Len()}
	table := crc32.MakeTable(crc32.Castagnoli)
	for _, part := range [][]byte{t.train.Pixels, t.train.Labels, t.heldout.Pixels, t.heldout.Labels} {
		f.CRC = crc32.Update(f.CRC, table, part)
	}
	return f
}

func imagesPath(dir string) string { return filepath.Join(dir, "images.json") }

// Begin writes images.json, which tells the images from others.
func (t *ImageTask) Begin(dir string) error {
	return atomicfile.Write(imagesPath(dir), func(w io.Writer) error {
		return json.NewEncoder(w).Encode(t.fingerprint())
	})
}

// Check reports images that are not those that the run began with.
func (t *ImageTask) Check(dir string) error {
	path := imagesPath(dir)
	if err := whole(path); err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var then fingerprint
	if err := json.Unmarshal(b, &then); err != nil {
		return fmt.Errorf("%s: %w: the file is damaged: bring it back, or begin a new run", path, err)
	}
	if now := t.fingerprint(); now != then {
		return fmt.Errorf("%s: the run began with %d and %d other images: bring them back, or begin a new run", path, then.Train, then.Heldout)
	}
	return nil
}
