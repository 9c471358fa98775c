package analysis_test

import (
	"log"
	"os"

	"trefoil/quant"
	"trefoil/quant/analysis"
)

func ExampleLayer_WriteTable() {
	q, err := quant.New(quant.Config{Bits: 2, Granularity: quant.PerChannel})
	if err != nil {
		log.Fatal(err)
	}
	l, err := analysis.Analyze("up", []float32{1, 0.5, -1, 0.25, 4, 4, -4, 0}, q, 2, 4)
	if err != nil {
		log.Fatal(err)
	}
	if err := l.WriteTable(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// up  SQNR dB     MSE  max error   cosine       KL  zeros %  entropy bits  effective bits
	//     0     8.69  0.0781        0.5  0.92998  0.00644     50.0          1.50            1.15
	//     1   400.00       0          0  1.00000        0     25.0          1.50           66.15
	//   all    22.07  0.0391        0.5  0.99689  0.00525     37.5          1.56            3.37
}
